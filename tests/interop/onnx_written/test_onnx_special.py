"""Incomplete integrals, their inverses, and functions of gamma in files: relative to each value, in far tails too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_runs import agree, run

import tlean as tl

onnx = pytest.importorskip("onnx", reason="files of ONNX are read and written by its package")

_RNG = np.random.default_rng(6)
_COUNT = 150


def _positive(low: float, high: float) -> np.ndarray:
    return 10.0 ** _RNG.uniform(low, high, _COUNT)


def _parts() -> np.ndarray:
    # Of 1, some of them small.
    p = _RNG.uniform(size=_COUNT)
    p[::3] = 10.0 ** _RNG.uniform(-30, 0, len(p[::3]))
    return p


def _about(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.abs(mean + 3 * spread * _RNG.normal(size=_COUNT))


_SHAPE, _OTHER = _positive(-3, 7), _positive(-3, 7)
_SHARE = _SHAPE / (_SHAPE + _OTHER)
_NEAR_SHARE = np.clip(_about(_SHARE, np.sqrt(_SHARE * (1 - _SHARE) / (1 + _SHAPE + _OTHER))), 1e-14, 1 - 1e-14)
_CASES: dict[str, tuple[Any, ...]] = {
    "gamma, near the mean": ((tl.gammainc, tl.gammaincc), _SHAPE, _about(_SHAPE, np.sqrt(_SHAPE))),
    "gamma, far from it": ((tl.gammainc, tl.gammaincc), _positive(-3, 3), _positive(-12, 4)),
    "beta, near the mean": ((tl.betainc, tl.betaincc), _SHAPE, _OTHER, _NEAR_SHARE),
    "beta, far from it": ((tl.betainc, tl.betaincc), _positive(-3, 4), _positive(-3, 4), _parts()),
    "student": ((tl.stdtr,), _positive(-1, 12), _RNG.normal(size=_COUNT) * _positive(-3, 2)),
    "gamma quantiles": ((tl.gammaincinv, tl.gammainccinv), _positive(-3, 7), _parts()),
    "beta quantiles": ((tl.betaincinv, tl.betainccinv), _positive(-2, 6), _positive(-2, 6), _parts()),
    "student quantiles": ((tl.stdtrit,), _positive(-1, 12), _parts()),
    "ln beta": ((tl.betaln,), _positive(-4, 8), _positive(-4, 8)),
    "polygamma": ((lambda x: tl.polygamma(x, 1), lambda x: tl.polygamma(x, 61), lambda x: tl.polygamma(x, 171)), _positive(-3, 2)),
}


@pytest.mark.parametrize("name", _CASES)
def test_relative_to_each_value(name: str, tmp_path: Path) -> None:
    """In float64, of normal numbers; where a value is a small number's power, relative to its exponent."""
    functions, *args = _CASES[name]
    made = run(lambda *xs: [f(*xs) for f in functions], tmp_path, *args, dynamic_batch=False)
    for theirs, ours, read in zip(*made[:3], strict=True):
        assert ours.tobytes() == read.tobytes()
        usual = (np.abs(ours) > 1e-200) & np.isfinite(ours)
        close = 1e-12 * np.maximum(1.0, np.abs(np.log(np.abs(ours[usual]))) / 50)
        assert (np.abs(theirs[usual] / ours[usual] - 1) <= close).all()
        small = np.abs(ours) <= 1e-200
        assert (np.abs(theirs[small]) <= 1e-199).all()
        rest = ~usual & ~small
        np.testing.assert_array_equal(theirs[rest], ours[rest])


def test_ends_and_arguments_that_are_none(tmp_path: Path) -> None:
    """0, 1 and infinity, arguments out of range, NaN: what the kernels make of them."""
    values = np.array([np.nan, -1.0, 0.0, 0.5, 1.0, 2.0, np.inf])
    a, b, x = (v.ravel() for v in np.meshgrid(values, values, values))

    def f(a: Any, b: Any, x: Any) -> Any:
        of_two = (tl.gammainc, tl.gammaincc, tl.gammaincinv, tl.gammainccinv, tl.stdtr, tl.stdtrit, tl.betaln)
        return [g(a, x) for g in of_two] + [g(a, b, x) for g in (tl.betainc, tl.betaincc, tl.betaincinv, tl.betainccinv)]

    made = run(f, tmp_path, a, b, x, dynamic_batch=False)
    for theirs, ours in zip(made.theirs, made.ours, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients(dtype: str, tmp_path: Path) -> None:
    """By parameters and by the point, for any batch, in a loop too."""
    a, b, p = (np.linspace(low, high, 6).astype(dtype) for low, high in ((0.4, 3.0), (2.0, 0.6), (0.1, 0.9)))

    def f(a: Any, b: Any, p: Any) -> Any:
        y = tl.gammaincinv(a, p) + tl.betaincinv(a, b, p) + tl.stdtrit(b * 4.0, p) + tl.stdtr(a, b) + tl.betainc(a, b, p)
        return tl.sum(tl.sin(y)) + tl.sum(tl.scan(lambda c, v: (tl.gammainccinv(b, c), tl.sum(c * v)), p, a)[1])

    agree(
        run(tl.value_and_grad(f, argnums=(0, 1, 2)), tmp_path, a, b, p, dynamic_batch=False), factor=100.0 if dtype == "float64" else 10.0
    )
    wide = [np.concatenate([x, x]) for x in (a, b, p)]
    made = run(lambda a, b, p: tl.betaincinv(a, b, p) + tl.gammaincinv(a, p), tmp_path, a, b, p, given=wide)
    assert made.fixed is None
    agree(made)
