"""A program as a file, run by onnxruntime, beside what the library makes of it, and what it makes of the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tlean as tl

#: How far a result may be from the library's, over the largest number of all.
CLOSE = {"float32": 1e-5, "float64": 1e-12}


class Run(NamedTuple):
    """The arrays that onnxruntime, the library, and the library by the file make; why the batch is fixed."""

    theirs: list[np.ndarray]
    ours: list[np.ndarray]
    read: list[np.ndarray]
    fixed: str | None


def run(f: Any, folder: Path, *args: np.ndarray, given: Sequence[np.ndarray] | None = None, seed: int = 3, **options: Any) -> Run:
    """Export for `args`, run with `given`, by default these."""
    runtime = pytest.importorskip("onnxruntime", reason="another program that runs the files")
    path = folder / "f.onnx"
    made = tl.onnx.export(f, path, *args, **options)
    values = list(args if given is None else given)
    settings = runtime.SessionOptions()
    settings.log_severity_level = 3
    session = runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    seeds = [made.seeds(seed)] if made.draws else []
    theirs = session.run(None, dict(zip(made.inputs, [*values, *seeds], strict=True)))
    ours = [np.asarray(v) for v in tl.tree.flatten(tl.jit(f, seed=seed)(*values))[0]]
    read = [np.asarray(v) for v in tl.tree.flatten(tl.onnx.load(path)(*values, *seeds))[0]]
    return Run(theirs, ours, read, made.fixed)


def agree(made: Run, factor: float = 1.0, same_bits: bool = True) -> None:
    """Both runs agree, relative to the norm of each result; what was read has the library's bits."""
    for theirs, ours, read in zip(*made[:3], strict=True):
        assert (theirs.dtype, theirs.shape) == (ours.dtype, ours.shape) == (read.dtype, read.shape)
        norm = float(np.max(np.abs(ours, where=np.isfinite(ours), out=np.zeros(ours.shape)), initial=0)) if ours.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=CLOSE.get(ours.dtype.name, 0.0) * norm * factor)
        assert not same_bits or ours.tobytes() == read.tobytes()
