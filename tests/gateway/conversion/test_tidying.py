"""Each step of tidying, on a model that needs it; what it computes stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gateway.artifacts.onnx_inspection import inspect
from gateway.conversion.onnx_files import read, serialised
from gateway.conversion.request import Stuck
from gateway.conversion.running import run
from gateway.conversion.servable import needs
from gateway.conversion.tidying import tidy

X = np.arange(6, dtype=np.float32).reshape(2, 3)
TREES = "ai.onnx.ml"


def model(nodes: list[Any], *, opset: int = 21, weights: Any = (), **more: Any) -> Any:
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    given = more.pop("given", helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "g", [taken], [given], [*weights])
    imports = more.pop("imports", [helper.make_opsetid("", opset)])
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **more)


def weight(name: str = "w") -> Any:
    return numpy_helper.from_array(np.full((3, 3), 2.0, np.float32), name)


def doubled(**more: Any) -> Any:
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], weights=[weight()], **more)


def said(proto: Any) -> Any:
    (values,) = run(serialised(proto), {"x": X}).values()
    return values


def zipped() -> Any:
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"]),
        helper.make_node("ZipMap", ["p"], ["y"], domain=TREES, classlabels_strings=["a", "b", "c"]),
    ]
    maps = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    given = helper.make_value_info("y", helper.make_sequence_type_proto(maps))
    imports = [helper.make_opsetid("", 21), helper.make_opsetid(TREES, 3)]
    return model(nodes, given=given, imports=imports)


def test_a_model_that_is_served_as_it_is_stays_byte_for_byte() -> None:
    proto = doubled()
    before = proto.SerializeToString()
    assert needs(proto, screened=True) == ()
    assert tidy(proto) == []
    assert proto.SerializeToString() == before


def test_maps_become_a_tensor_of_the_same_name_and_the_order_of_classes_is_told() -> None:
    proto = zipped()
    before = said(proto)
    assert "ZipMap" in needs(proto, screened=True)[0]
    told = tidy(proto)
    assert any("`y` is a tensor" in one and "a, b, c" in one for one in told)
    np.testing.assert_array_equal(said(proto), [[row[c] for c in "abc"] for row in before])
    assert {entry.domain for entry in proto.opset_import} == {""}, "the maps' operators are gone"


def test_weights_nodes_and_imports_that_nobody_uses_are_dropped() -> None:
    imports = [helper.make_opsetid(*pair) for pair in (("", 21), ("ai.onnx", 21), ("com.acme", 1))]
    proto = doubled(imports=imports)
    before = said(doubled())
    proto.graph.initializer.append(weight("spare"))
    proto.graph.initializer.append(weight("left"))
    proto.graph.node.append(helper.make_node("Add", ["x", "left"], ["aside"]))
    proto.graph.node.append(helper.make_node("Relu", ["aside"], ["further aside"]))
    told = " ".join(tidy(proto))
    assert "nodes that lead to no output were dropped: 2" in told
    assert "weights that nobody uses were dropped: 2" in told
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 21)]
    np.testing.assert_array_equal(said(proto), before)


def test_a_weight_that_only_an_inner_graph_uses_stays() -> None:
    inner = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["inner"])],
        "then",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    yes = numpy_helper.from_array(np.array(True), "yes")
    node = helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner)
    proto = model([node], weights=[weight(), yes])
    assert tidy(proto) == []
    assert len(proto.graph.initializer) == 2


def test_an_old_opset_is_lifted_to_one_that_can_be_screened() -> None:
    proto = doubled(opset=8)
    before = said(proto)
    assert "opset 8" in needs(proto, screened=True)[0]
    assert tidy(proto) == ["opset 8 was lifted to 21"]
    np.testing.assert_array_equal(said(proto), before)


def test_an_opset_that_is_served_without_a_screen_is_not_in_the_way_of_a_push() -> None:
    assert needs(doubled(opset=8), screened=False) == ()
    assert "opset 6" in needs(doubled(opset=6), screened=False)[0]


def test_a_map_that_does_not_leave_the_model_is_not_in_the_way_of_a_push() -> None:
    proto = zipped()
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 3]))
    assert needs(proto, screened=True) == ()
    tidy(proto)
    assert [node.op_type for node in proto.graph.node] == ["Softmax"]


def test_an_opset_that_is_not_known_yet_is_refused_with_the_way_on() -> None:
    with pytest.raises(Stuck, match="newer") as stuck:
        tidy(doubled(opset=onnx.defs.onnx_opset_version() + 1))
    assert "export it" in stuck.value.remedy


def test_functions_are_inlined() -> None:
    opset = [helper.make_opsetid("", 21)]
    twice = helper.make_function(
        "own", "twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], opset
    )
    imports = [*opset, helper.make_opsetid("own", 1)]
    node = helper.make_node("twice", ["x"], ["y"], domain="own")
    proto = model([node], imports=imports, functions=[twice])
    assert "functions" in needs(proto, screened=True)[0]
    assert "functions of its own were inlined: 1" in tidy(proto)
    np.testing.assert_array_equal(said(proto), X + X)
    inspect(proto)


def test_what_an_exporter_noted_of_its_machine_does_not_reach_a_partner() -> None:
    proto = doubled()
    proto.graph.node[0].doc_string = 'File "/home/ann/secret-project/model.py", line 7'
    entry = proto.graph.node[0].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.stack_trace", "/home/ann/secret-project"
    assert tidy(proto) == ["notes at nodes (source files, stack traces) were dropped: 1"]
    assert b"secret-project" not in proto.SerializeToString()


def outside(folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save_model(
        doubled(), path, save_as_external_data=True, location="model.onnx.data", size_threshold=0
    )
    return path


def test_weights_beside_the_file_are_put_into_it(tmp_path: Path) -> None:
    path = outside(tmp_path)
    assert "another file" in needs(onnx.load(path, load_external_data=False), screened=False)[0]
    proto, told = read(path)
    assert told == ["1 weights from model.onnx.data were put into the one file"]
    np.testing.assert_array_equal(said(proto), said(doubled()))
    inspect(proto)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = outside(tmp_path)
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(Stuck, match=r"model\.onnx\.data") as stuck:
        read(path)
    assert "beside" in stuck.value.remedy


def test_weights_outside_the_models_folder_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    path = outside(folder)
    (folder / "model.onnx.data").rename(tmp_path / "elsewhere")
    proto = onnx.load(path, load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../elsewhere"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(Stuck) as stuck:
        read(path)
    assert stuck.value.reason == "external_data"


def test_what_is_no_model_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08\xff\xff\xff")
    with pytest.raises(Stuck, match="no ONNX model"):
        read(path)
