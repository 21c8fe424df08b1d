"""The same messages by protobuf's own library, in a pool of their own: no names clash."""

from __future__ import annotations

from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

CONTENTS = {
    1: "bool_contents",
    2: "int_contents",
    3: "int64_contents",
    4: "uint_contents",
    5: "uint64_contents",
    6: "fp32_contents",
    7: "fp64_contents",
    8: "bytes_contents",
}
TENSOR = "name=1:string datatype=2:string shape=3:int64* parameters=4:Entry* contents=5:Contents"
SAID: dict[str, str] = {
    "Parameter": "bool_param=1:bool int64_param=2:int64 string_param=3:string "
    "double_param=4:double uint64_param=5:uint64",
    "Contents": "bool_contents=1:bool* int_contents=2:int32* int64_contents=3:int64* "
    "uint_contents=4:uint32* uint64_contents=5:uint64* fp32_contents=6:float* "
    "fp64_contents=7:double* bytes_contents=8:bytes*",
    "Entry": "key=1:string value=2:Parameter",
    "Tensor": TENSOR,
    "Wanted": "name=1:string parameters=2:Entry*",
    "ModelInferRequest": "model_name=1:string model_version=2:string id=3:string "
    "parameters=4:Entry* inputs=5:Tensor* outputs=6:Wanted* raw_input_contents=7:bytes*",
    "ModelInferResponse": "model_name=1:string model_version=2:string id=3:string "
    "parameters=4:Entry* outputs=5:Tensor* raw_output_contents=6:bytes*",
    "ServerMetadataResponse": "name=1:string version=2:string extensions=3:string*",
    "Described": "name=1:string datatype=2:string shape=3:int64*",
    "ModelMetadataResponse": "name=1:string versions=2:string* platform=3:string "
    "inputs=4:Described* outputs=5:Described*",
    "ModelIndex": "name=1:string version=2:string state=3:string reason=4:string",
    "RepositoryIndexResponse": "models=1:ModelIndex*",
    "ModelInput": "name=1:string data_type=2:int32 dims=4:int64* optional=8:bool",
    "ModelOutput": "name=1:string data_type=2:int32 dims=3:int64*",
    "ModelConfig": "name=1:string platform=2:string max_batch_size=4:int32 input=5:ModelInput* "
    "output=6:ModelOutput* backend=17:string",
    "ModelConfigResponse": "config=1:ModelConfig",
    "Duration": "count=1:uint64 ns=2:uint64",
    "Inferences": "success=1:Duration fail=2:Duration queue=3:Duration compute_input=4:Duration "
    "compute_infer=5:Duration compute_output=6:Duration",
    "Batches": "batch_size=1:uint64 compute_infer=3:Duration",
    "ModelStatistics": "name=1:string version=2:string last_inference=3:uint64 "
    "inference_count=4:uint64 execution_count=5:uint64 inference_stats=6:Inferences "
    "batch_stats=7:Batches*",
    "ModelStatisticsResponse": "model_stats=1:ModelStatistics*",
}
MAPS = {"parameters"}
ANSWERS = {
    "SERVER": "ServerMetadataResponse",
    "MODEL": "ModelMetadataResponse",
    "INDEX": "RepositoryIndexResponse",
    "CONFIGURATION": "ModelConfigResponse",
    "STATISTICS": "ModelStatisticsResponse",
}
TENSORS = [{"name": "a", "datatype": "FP32", "shape": [-1, 300]}]
VALUES: dict[str, Any] = {
    "SERVER": {"name": "n", "version": "1", "extensions": ["a", "b"]},
    "MODEL": {
        "name": "m",
        "versions": ["1"],
        "platform": "p",
        "inputs": TENSORS,
        "outputs": TENSORS,
    },
    "INDEX": {"models": [{"name": "a", "version": "1", "state": "READY", "reason": "r"}, {}]},
    "CONFIGURATION": {
        "config": {
            "name": "m",
            "platform": "p",
            "max_batch_size": 4,
            "input": [{"name": "a", "data_type": 11, "dims": [-1], "optional": True}],
            "output": [{"name": "b", "data_type": 13, "dims": [2]}],
            "backend": "b",
        }
    },
    "STATISTICS": {
        "model_stats": [
            {
                "name": "m",
                "version": "1",
                "last_inference": 9,
                "inference_count": 3,
                "execution_count": 2,
                "inference_stats": {"success": {"count": 1, "ns": 2}, "queue": {"ns": 5}},
                "batch_stats": [{"batch_size": 8, "compute_infer": {"count": 1}}],
            }
        ]
    },
}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="said.proto", package="said", syntax="proto3")
    for name, said in SAID.items():
        made = file.message_type.add(name=name)
        if name == "Parameter":
            made.oneof_decl.add(name="choice")
        if "parameters=" in said:
            _map(made)
        for one in said.split():
            _field(made, name, one)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _map(made: descriptor_pb2.DescriptorProto) -> None:
    entry = made.nested_type.add(name="ParametersEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=11, label=1, type_name=".said.Parameter")


def _field(made: descriptor_pb2.DescriptorProto, owner: str, said: str) -> None:
    name, _, rest = said.partition("=")
    number, _, kind = rest.partition(":")
    repeated, kind = kind.endswith("*"), kind.rstrip("*")
    field = made.field.add(name=name, number=int(number), label=3 if repeated else 1)
    if kind == "Entry":
        field.type, field.type_name = 11, f".said.{owner}.ParametersEntry"
    elif kind in SAID:
        field.type, field.type_name = 11, f".said.{kind}"
    else:
        field.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    if owner == "Parameter":
        field.oneof_index = 0


POOL = _pool()


def message(name: str) -> Any:
    """Make an empty message."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"said.{name}"))()


def plain(value: Any) -> Any:
    """Undo that JSON has large numbers as texts."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str) and value.removeprefix("-").isdigit():
        return int(value)
    return value
