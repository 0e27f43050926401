"""Decompositions, exponentials and derivatives of determinants in files: corners, batches, gradients, in loops and under `vmap`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_runs import CLOSE, agree, run

import tlean as tl
from tlean.dtypes import FLOATS

onnx = pytest.importorskip("onnx", reason="files of ONNX are read and written by its package")

_RNG = np.random.default_rng(8)
_SHAPES = [(1, 1), (3, 3), (2, 5, 3), (3, 5), (2, 2, 4, 4)]


def _normal(*shape: int) -> np.ndarray:
    return _RNG.normal(size=shape)


def _turned(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2)


def _spaced(*shape: int) -> np.ndarray:
    # Matrices whose singular values, and eigenvalues of the symmetric part, lie apart.
    k = min(shape[-2:])
    u, _, vh = np.linalg.svd(_normal(*shape), full_matrices=False)
    return (u * np.arange(1.0, k + 1)) @ vh


def _symmetric(*shape: int) -> np.ndarray:
    q = np.linalg.qr(_normal(*shape))[0]
    n = shape[-1]
    return (q * (np.arange(1.0, n + 1) * (-1.0) ** np.arange(n))) @ _turned(q)


_FUNCTIONS: dict[str, Any] = {
    "svd": lambda x: tl.linalg.svd(x),
    "svdvals": lambda x: tl.linalg.svd(x)[1],
    "pinv": lambda x: tl.linalg.pinv(x),
    "qr": lambda x: tl.linalg.qr(x),
    "complete qr": lambda x: tl.linalg.qr(x, mode="complete"),
    "lu": lambda x: tl.linalg.lu(x),
}
_SQUARE: dict[str, Any] = {
    "eigh": lambda x: tl.linalg.eigh(x),
    "expm": lambda x: tl.linalg.expm(x),
    "det": lambda x: tl.linalg.det(x),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*_FUNCTIONS, *_SQUARE])
def test_values_of_any_batch(name: str, dtype: str, tmp_path: Path) -> None:
    """Wide, tall and square matrices; a file for one batch takes another one."""
    f = {**_FUNCTIONS, **_SQUARE}[name]
    for shape in _SHAPES if name in _FUNCTIONS else [s for s in _SHAPES if s[-1] == s[-2]]:
        x = (_symmetric(*shape) if name == "eigh" else _spaced(*shape)).astype(dtype)
        made = run(f, tmp_path, x, dynamic_batch=False)
        agree(made)
    batch = np.stack([_symmetric(4, 4) if name == "eigh" else _spaced(4, 4) for _ in range(5)]).astype(dtype)
    made = run(f, tmp_path, batch[:2], given=[batch], opset=17)
    assert made.fixed is None
    agree(made)


def _loss(f: Any) -> Any:
    def loss(x: Any) -> Any:
        ys = tl.tree.flatten(f(x))[0]
        return sum((tl.sum(tl.sin(y * (k + 1.0))) for k, y in enumerate(ys)), tl.sum(x) * 0.0)

    return loss


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [n for n in (*_FUNCTIONS, *_SQUARE) if n != "complete qr"])
def test_gradients(name: str, dtype: str, tmp_path: Path) -> None:
    """First derivatives, and of float64 the second ones."""
    f = {**_FUNCTIONS, **_SQUARE}[name]
    slope = tl.grad(_loss(f))
    shapes = [(1, 1), (3, 3), (2, 4, 3), (3, 4)] if name in _FUNCTIONS else [(1, 1), (3, 3), (2, 3, 3)]
    for shape in shapes:
        x = (_symmetric(*shape) if name == "eigh" else _spaced(*shape)).astype(dtype)
        agree(run(slope, tmp_path, x, dynamic_batch=False), factor=10.0)
    if dtype == "float64":
        agree(run(tl.grad(lambda x: tl.sum(slope(x) * slope(x))), tmp_path, x, dynamic_batch=False), factor=100.0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_repeated_eigenvalues(dtype: str, tmp_path: Path) -> None:
    """Vectors of an eigenvalue that is repeated are a basis of its space, orthonormal; of zeros and of the identity too."""
    q = np.linalg.qr(_normal(5, 5))[0]
    matrices = [
        (q * np.array([2.0, 2.0, -1.0, 2.0, -1.0])) @ q.T,
        np.eye(5),
        np.zeros((5, 5)),
        3 * np.ones((5, 5)),
        np.diag([1.0, 1, 0, 0, 1]),
    ]
    x = np.stack(matrices).astype(dtype)
    made = run(_SQUARE["eigh"], tmp_path, x, dynamic_batch=False)
    (w, v), close = made.theirs, CLOSE[dtype] * 5
    np.testing.assert_allclose(w, made.ours[0], atol=close)
    np.testing.assert_allclose(x @ v, v * w[:, None], atol=close)
    np.testing.assert_allclose(_turned(v) @ v, np.broadcast_to(np.eye(5), x.shape), atol=close)
    slope = tl.grad(lambda x: tl.sum(tl.exp(tl.linalg.eigh(x)[0])))
    agree(run(slope, tmp_path, x, dynamic_batch=False), factor=10.0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (4, 4)])
def test_ranks_that_are_low(shape: tuple[int, int], dtype: str, tmp_path: Path) -> None:
    """U and V are orthonormal, and the product is the matrix; pseudoinverses and their gradients are the library's."""
    m, n = shape
    x = np.stack([_normal(m, r) @ _normal(r, n) for r in (1, 2, 3)] + [np.zeros(shape)]).astype(dtype)
    close = CLOSE[dtype] * 20
    made = run(_FUNCTIONS["svd"], tmp_path, x, dynamic_batch=False)
    u, s, vh = made.theirs
    one = np.broadcast_to(np.eye(min(shape)), (4, min(shape), min(shape)))
    np.testing.assert_allclose((u * s[:, None]) @ vh, x, atol=close)
    np.testing.assert_allclose(_turned(u) @ u, one, atol=close)
    np.testing.assert_allclose(vh @ _turned(vh), one, atol=close)
    np.testing.assert_allclose(s, made.ours[1], atol=close)
    agree(run(_FUNCTIONS["pinv"], tmp_path, x, dynamic_batch=False), factor=20.0)
    agree(run(tl.grad(_loss(_FUNCTIONS["pinv"])), tmp_path, x, dynamic_batch=False), factor=50.0)
    q, r = run(_FUNCTIONS["qr"], tmp_path, x, dynamic_batch=False).theirs
    np.testing.assert_allclose(q @ r, x, atol=close)
    np.testing.assert_allclose(_turned(q) @ q, np.broadcast_to(np.eye(q.shape[-1]), (4, q.shape[-1], q.shape[-1])), atol=close)


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["svd", "pinv", "qr", "eigh", "expm"])
def test_matrices_that_are_none(name: str, number: float, tmp_path: Path) -> None:
    """One with NaN or an infinity is NaN, those beside it are what they were, and every loop ends."""
    x = np.stack([_symmetric(4, 4), _spaced(4, 4), _symmetric(4, 4)])
    x[1, 2, 1] = x[1, 1, 2] = number
    started = time.monotonic()
    made = run({**_FUNCTIONS, **_SQUARE}[name], tmp_path, x, dynamic_batch=False)
    assert time.monotonic() - started < 30
    for theirs, ours in zip(made.theirs, made.ours, strict=True):
        np.testing.assert_array_equal(np.isnan(theirs), np.isnan(ours))
        assert np.isnan(theirs[1]).all()
        np.testing.assert_allclose(theirs, ours, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-180, 1e180])
@pytest.mark.parametrize("name", ["svd", "pinv", "qr", "eigh"])
def test_numbers_near_the_ends_of_the_range(name: str, scale: float, tmp_path: Path) -> None:
    """Squares that would leave the range do not matter."""
    x = _symmetric(3, 3) if name == "eigh" else _spaced(4, 3)
    agree(run({**_FUNCTIONS, **_SQUARE}[name], tmp_path, x * scale, dynamic_batch=False), factor=10.0)


def test_exponentials_of_large_matrices(tmp_path: Path) -> None:
    """Each matrix is squared as often as it has to be; those beyond the range are what the library makes of them."""
    x = np.stack([np.zeros((3, 3)), _normal(3, 3), 50 * _symmetric(3, 3), np.array([[0, 1e8, 0], [0, 0, 1e8], [0, 0, 0]])])
    made = run(_SQUARE["expm"], tmp_path, x, dynamic_batch=False)
    for theirs, ours in zip(made.theirs[0], made.ours[0], strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-11 * np.abs(ours).max())
    beyond = run(_SQUARE["expm"], tmp_path, np.array([[1e4, 1.0], [0.0, -1e4]]), dynamic_batch=False)
    np.testing.assert_array_equal(np.isfinite(beyond.theirs[0]), np.isfinite(beyond.ours[0]))


_SINGULAR = np.stack(
    [
        np.array(rows, float)
        for rows in ([[1, 2, 3], [2, 4, 6], [1, 3, 9]], [[4, 2, 1], [2, 1, 3], [1, 3, 9]], [[0] * 3] * 3, [[1, 2, 3], [2, 4, 6], [3, 6, 9]])
    ]
)


@pytest.mark.parametrize("dtype", FLOATS)
def test_derivatives_of_determinants(dtype: str, tmp_path: Path) -> None:
    """Of singular matrices and of regular ones beside them, of the first three orders."""
    x = _SINGULAR.astype(dtype)
    first = tl.grad(lambda x: tl.sum(tl.linalg.det(x)))
    second = tl.grad(lambda x: tl.sum(tl.sin(first(x)) * first(x)))
    third = tl.grad(lambda x: tl.sum(second(x) * second(x)))
    for f in (first, second, third):
        agree(run(f, tmp_path, x, given=[np.concatenate([x, x[:2]])]))
    agree(run(first, tmp_path, x, dynamic_batch=False, opset=17))
    agree(run(tl.vmap(tl.grad(tl.linalg.det)), tmp_path, x, dynamic_batch=False))
    agree(run(tl.hessian(tl.linalg.det), tmp_path, x[3], dynamic_batch=False))
    # Finite differences say the same, with no rounding, as determinants are linear in each entry.
    made = run(first, tmp_path, x[:1], dynamic_batch=False).theirs[0][0]
    moved = [[np.linalg.det(_SINGULAR[0] + np.outer(np.eye(3)[i], np.eye(3)[j])) for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(made, moved, atol=1e-5)


@pytest.mark.parametrize("dtype", FLOATS)
def test_cofactors_of_large_numbers_and_low_ranks(dtype: str, tmp_path: Path) -> None:
    """Rows and columns of unlike sizes; a rank that is lower by two has no cofactors, but derivatives of them."""
    first = tl.grad(lambda x: tl.sum(tl.linalg.det(x)))
    x = (_normal(3, 5, 2) @ _normal(3, 2, 5)).astype(dtype)
    x[1] = np.outer(10.0 ** np.arange(-6, 4, 2), np.ones(5)) * (_normal(5, 4) @ _normal(4, 5))
    made = run(first, tmp_path, x, dynamic_batch=False)
    for theirs, ours in zip(made.theirs[0], made.ours[0], strict=True):
        np.testing.assert_allclose(theirs, ours, atol=CLOSE[dtype] * max(np.abs(ours).max(), 1.0))
    agree(run(tl.jacrev(tl.grad(tl.linalg.det)), tmp_path, np.zeros((2, 2), dtype), dynamic_batch=False))
    agree(run(first, tmp_path, np.zeros((2, 1, 1), dtype), dynamic_batch=False))


def test_inside_loops_and_lanes(tmp_path: Path) -> None:
    """Bodies of `scan`, `while_loop` and `cond`, with gradients, and lanes of `vmap`."""
    x = np.stack([_symmetric(3, 3) for _ in range(4)])

    def total(x: Any) -> Any:
        def step(c: Any, v: Any) -> Any:
            w, u = tl.linalg.eigh(v + c * 0.1)
            return tl.linalg.expm(v * 0.1) @ c * 0.5, tl.sum(w) + tl.sum(u * u) + tl.sum(tl.linalg.svd(c + v)[1])

        last, rows = tl.scan(step, np.eye(3), x)
        last = tl.while_loop(lambda c: tl.sum(tl.linalg.pinv(c) * c) < 40.0, lambda c: tl.linalg.qr(c)[0] * 2.0 + c, last, max_steps=3)
        return tl.sum(rows) + tl.sum(tl.cond(tl.sum(last) > 1e9, lambda: last, lambda: tl.linalg.expm(last * 0.1)))

    agree(run(tl.value_and_grad(total), tmp_path, x, dynamic_batch=False), factor=100.0)

    def lane(x: Any) -> Any:
        return tl.linalg.eigh(x), tl.linalg.svd(x), tl.linalg.qr(x[:, :2]), tl.linalg.pinv(x), tl.linalg.expm(x), tl.linalg.lu(x[:2])

    agree(run(tl.vmap(lane), tmp_path, x, dynamic_batch=False), factor=10.0)
    agree(run(tl.vmap(tl.grad(lambda x: tl.sum(tl.linalg.expm(x)) + tl.linalg.det(x))), tmp_path, x), factor=10.0)
