"""Whole files of every kind, and what reads them."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl
from tlean import nn
from tlean.data import mnist
from tlean.data.readers import read_idx, read_npy, read_npz
from tlean.data.table import read_csv

#: What compressed files may unpack to here.
LIMIT = 1 << 22


@dataclass(frozen=True)
class Sample:
    """A kind of file: a whole one, and what reads it."""

    name: str
    data: bytes
    read: Callable[[Path], Any]


def _npy(array: Any, order: str = "C") -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(array, order=order))  # type: ignore[call-overload]
    return out.getvalue()


def _npz(pack: Callable[..., None]) -> bytes:
    out = io.BytesIO()
    pack(out, x=np.arange(12.0).reshape(3, 4), y=np.arange(5))
    return out.getvalue()


def _idx(shape: tuple[int, ...], code: int = 8, size: int = 1) -> bytes:
    count = int(np.prod(shape))
    return bytes([0, 0, code, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + bytes(k % 10 for k in range(count * size))


def _safetensors(folder: Path) -> bytes:
    header = {
        "weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "bias": {"dtype": "BF16", "shape": [2], "data_offsets": [24, 28]},
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + np.arange(6, dtype="<f4").tobytes() + b"\x80\x3f\0\x40"


def model() -> Any:
    """What checkpoints are loaded into."""
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm(2)).init(0)


def run() -> dict[str, Any]:
    """What a run is loaded into."""
    one = model()
    data = (np.ones((4, 3), np.float32), np.arange(4) % 2)
    trainer = tl.ScalarTrainer(tl.Options(), one.state(), [(4, 3), tl.Spec((4,), "int64")], one.program("cross_entropy"))
    opt = tl.optim.Adam(one.parameters(), lr=0.1)
    trainer.optim_step(opt, *data)
    loader = tl.data.DataLoader(data, 2, shuffle=True)
    return {"trainer": trainer, "optimizer": opt, "schedule": tl.optim.StepLR(opt, 3), "loader": loader, "rng": tl.Rng(3)}


def _checkpoint(folder: Path) -> bytes:
    tl.save(folder / "whole", run(), epoch=3, note="text", parts=(1, [2.5, None]))
    return (folder / "whole").read_bytes()


def load_run(path: Path) -> Any:
    """A checkpoint into a run, which is as before where it does not take it."""
    targets = run()
    before = _state(targets)
    try:
        return tl.load(path, **targets)
    except BaseException:
        if _state(targets) != before:
            raise AssertionError("a checkpoint that was refused changed what it was loaded into") from None
        raise


def _state(targets: dict[str, Any]) -> str:
    return repr({k: tl.tree.map(lambda v: np.asarray(v).tolist(), t.state_dict()) for k, t in targets.items()})


def samples(folder: Path) -> list[Sample]:
    """All kinds; `folder` is for files that are made on the way."""
    table = "id,x,y\n1,2.5,-3e2\n4,nan,6\n\n7,8,inf\n"
    integers = "1,9007199254740993\n-4,18\n"
    labels = gzip.compress(_idx((6,)), mtime=0)
    packed = gzip.compress(_idx((6, 4, 4)), mtime=0)

    def pair(path: Path) -> Any:
        other = path.with_name("labels.gz")
        other.write_bytes(labels)
        return mnist.read_pair(path, other)

    return [
        Sample("csv", table.encode(), lambda p: read_csv(p)),
        Sample("csv with a mark", b"\xef\xbb\xbf" + table.encode(), lambda p: read_csv(p, header=True)),
        Sample("csv of integers", integers.encode(), lambda p: read_csv(p, dtype="int64")),
        Sample("npy", _npy(np.arange(12.0).reshape(3, 4)), lambda p: read_npy(p)),
        Sample("npy, mapped", _npy(np.arange(12.0).reshape(3, 4), "F"), lambda p: read_npy(p, mmap=True).sum()),
        Sample("npy of records", _npy(np.zeros(3, [("a", "f4"), ("b", "i8")])), lambda p: read_npy(p)),
        Sample("npz", _npz(np.savez), lambda p: read_npz(p, max_bytes=LIMIT)),
        Sample("npz, compressed", _npz(np.savez_compressed), lambda p: read_npz(p, max_bytes=LIMIT)),
        Sample("idx", _idx((2, 3, 4)), lambda p: read_idx(p)),
        Sample("idx of doubles", _idx((2, 2), 0x0E, 8), lambda p: read_idx(p, ndim=2)),
        Sample("idx, packed", packed, lambda p: read_idx(p, max_bytes=LIMIT)),
        Sample("digits", packed, pair),
        Sample("safetensors", _safetensors(folder), lambda p: tl.load(p, names={"w": "weight", "b": "bias"})),
        Sample("safetensors into a layer", _safetensors(folder), lambda p: tl.load(p, model=nn.Linear(3, 2))),
        Sample("checkpoint", _checkpoint(folder), lambda p: tl.load(p)),
        Sample("checkpoint into a run", _checkpoint(folder), load_run),
    ]
