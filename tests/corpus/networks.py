"""Conversions of networks. Run by the Python of a throw-away environment that has torch.

usage: python networks.py OUT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

OUT = Path(sys.argv[1])
torch.manual_seed(0)


class Recurrent(nn.Module):
    """A recurrent layer, and what it remembers as an input and an output."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.layer = kind(8, 16, batch_first=True)

    def forward(self, x: Any, state: Any) -> Any:
        return self.layer(x, state)


class Forgetful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, 16, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(x)[0][:, -1])


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4 + 5, 2)

    def forward(self, picture: Any, table: Any) -> Any:
        return self.head(torch.cat([self.look(picture).flatten(1), table], 1))


class Words(nn.Module):
    """A small encoder with a mask, as language models have."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encode = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 2)

    def forward(self, ids: Any, mask: Any) -> Any:
        hidden = self.encode(self.embed(ids), src_key_padding_mask=mask == 0)
        weight = mask.unsqueeze(-1).float()
        return self.head((hidden * weight).sum(1) / (weight.sum(1) + 1e-6))


class Neighbours(nn.Module):
    """One step of messages along the edges of a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.message = nn.Linear(8, 8)

    def forward(self, nodes: Any, edges: Any) -> Any:
        sent = self.message(nodes)[edges[0]]
        return torch.zeros_like(nodes).index_add(0, edges[1], sent)


def mlp() -> Any:
    return nn.Sequential(nn.Linear(6, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 3))


def cnn() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )  # fmt: skip


def unet() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 4, 4), nn.ReLU(), nn.ConvTranspose2d(4, 1, 4, 4), nn.Sigmoid()
    )


def save(
    name: str, model: Any, given: tuple[Any, ...], names: list[str], axes: Any, **more: Any
) -> None:
    """Export as most tutorials do; what the exporter cannot do is not our matter."""
    model.eval()
    path = OUT / f"torch_{name}.onnx"
    try:
        torch.onnx.export(
            model, given, path, input_names=names, dynamic_axes=axes, dynamo=False, **more
        )
    except Exception as fault:
        print(f"{name}: {type(fault).__name__}: {str(fault)[:200]}", file=sys.stderr)


def save_new(name: str, model: Any, given: tuple[Any, ...], shapes: Any) -> None:
    """The same by the exporter that took its place."""
    model.eval()
    try:
        program = torch.onnx.export(model, given, dynamic_shapes=shapes, dynamo=True)
        program.save(OUT / f"dynamo_{name}.onnx", external_data=False)
    except Exception as fault:
        print(f"{name}: {type(fault).__name__}: {str(fault)[:200]}", file=sys.stderr)


rows, length = torch.export.Dim("rows"), torch.export.Dim("length")
many = {0: "batch"}
tokens = {0: "batch", 1: "sequence"}
sides = {0: "batch", 2: "height", 3: "width"}
pictures = torch.zeros(2, 3, 64, 64)
ids, mask = torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64)
state = torch.zeros(1, 2, 16)

save("mlp", mlp(), (torch.zeros(2, 6),), ["x"], {"x": many})
save("cnn", cnn(), (pictures,), ["x"], {"x": sides})
save("unet_fixed", unet(), (torch.zeros(1, 1, 28, 28),), ["x"], None)
save("lstm", Forgetful(), (torch.zeros(2, 5, 8),), ["x"], {"x": tokens})
save("gru_state", Recurrent(nn.GRU), (torch.zeros(2, 5, 8), state), ["x", "state"],
     {"x": tokens, "state": {1: "batch"}})  # fmt: skip
save("two_inputs", TwoInputs(), (pictures, torch.zeros(2, 5)), ["picture", "table"],
     {"picture": sides, "table": many})  # fmt: skip
save("words", Words(), (ids, mask), ["ids", "mask"], {"ids": tokens, "mask": tokens})
save("half", mlp().half(), (torch.zeros(2, 6).half(),), ["x"], {"x": many})
save("listed_weights", mlp(), (torch.zeros(2, 6),), ["x"], {"x": many},
     keep_initializers_as_inputs=True)  # fmt: skip
save("opset_11", cnn(), (pictures,), ["x"], {"x": sides}, opset_version=11)
save_new("mlp", mlp(), (torch.zeros(2, 6),), ({0: rows},))
save_new("cnn", cnn(), (pictures,), ({0: rows},))
save_new("words", Words(), (ids, mask), ({0: rows, 1: length}, {0: rows, 1: length}))
save_new("neighbours", Neighbours(), (torch.zeros(5, 8), torch.zeros(2, 9, dtype=torch.int64)),
         ({0: rows}, {1: length}))  # fmt: skip
save_new("brain_half", mlp().bfloat16(), (torch.zeros(2, 6).bfloat16(),), ({0: rows},))
