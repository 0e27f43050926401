"""Whole numbers and Booleans in files: exact, as here, where ONNX has operators of floats alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_runs import Run, run

import tlean as tl

onnx = pytest.importorskip("onnx", reason="files of ONNX are read and written by its package")


def _same(made: Run) -> None:
    for theirs, ours, read in zip(*made[:3], strict=True):
        assert (theirs.dtype, theirs.tolist()) == (ours.dtype, ours.tolist()) == (read.dtype, read.tolist())


@pytest.mark.parametrize("opset", [17, 23])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_arithmetic(dtype: str, opset: int, tmp_path: Path) -> None:
    """Quotients by 0 and −1, powers that wrap, shifts beyond the bits, totals with more bits than float64 has."""
    least, rng = np.iinfo(dtype).min, np.random.default_rng(3)
    odd = np.array([0, 1, -1, 2, -7, 7, least, -(least + 1), 63], dtype)
    a, b = (v.ravel() for v in np.meshgrid(odd, odd))
    large = rng.integers(-(1 << 60), 1 << 60, (3, 2, 5)) if dtype == "int64" else rng.integers(least, -(least + 1), (3, 2, 5))

    def f(a: Any, b: Any, x: Any) -> Any:
        pairs = [g(a, b) for g in (tl.floor_divide, tl.remainder, tl.fmod, tl.power, tl.bitwise_left_shift, tl.bitwise_right_shift)]
        alone = [g(a) for g in (tl.floor, tl.round, tl.relu, tl.abs, tl.square, tl.neg)]
        totals = [
            tl.sum(x),
            tl.sum(x, axis=1),
            tl.sum(x, axis=(0, 2), keepdims=True),
            tl.cumsum(x, axis=2),
            tl.prod(x, axis=0),
            tl.prod(x),
            tl.sum(x[0, 0, 0]),
        ]
        return [*pairs, *alone, tl.power(a, 3), *totals, tl.max(a, b), tl.sort(x), tl.argmax(x, axis=1), x @ tl.permute(x, (0, 2, 1))]

    _same(run(f, tmp_path, a, b, large.astype(dtype), dynamic_batch=False, opset=opset))


@pytest.mark.parametrize("opset", [17, 23])
def test_booleans(opset: int, tmp_path: Path) -> None:
    """Sums, products, order, choices and products of matrices of Booleans."""
    rng = np.random.default_rng(4)
    a, b, i = rng.integers(0, 2, (4, 5)) > 0, rng.integers(0, 2, (4, 5)) > 0, np.array([3, 0, 9])

    def f(a: Any, b: Any, i: Any) -> Any:
        pairs = [g(a, b) for g in (tl.add, tl.mul, tl.max, tl.min, tl.greater, tl.less_equal, tl.equal, tl.floor_divide, tl.fmod, tl.power)]
        alone = [g(a) for g in (tl.abs, tl.relu, tl.floor, tl.sum, tl.prod, tl.any)]
        axes = [tl.sum(a, axis=1), tl.cumsum(a, axis=0), tl.sort(a, axis=1), tl.argsort(a, axis=0), tl.argmax(a, axis=1), tl.mean(a)]
        rows = tl.take(a, i, axis=0, mode="fill"), tl.gather_rows_nat(a, i)
        return [*pairs, *alone, *axes, *rows, tl.where(a, b, a), tl.where(tl.sum(a) > 3, a, b), a @ tl.permute(b, (1, 0))]

    _same(run(f, tmp_path, a, b, i, dynamic_batch=False, opset=opset))


def test_ranks(tmp_path: Path) -> None:
    """Counts of conditions."""
    x = np.random.default_rng(0).normal(size=(3, 5, 2)) @ np.random.default_rng(1).normal(size=(3, 2, 4))
    made = run(lambda x: tl.linalg.matrix_rank(x), tmp_path, x, given=[np.concatenate([x, 0 * x])])
    assert made.theirs[0].tolist() == made.ours[0].tolist() == [2, 2, 2, 0, 0, 0]
