"""`check=True` of `tl.linalg`: compiled programs that stop at a matrix that cannot be factored, and say which."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

L = tl.linalg
GOOD, BAD = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 2.0], [2.0, 1.0]])
SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])
B = np.array([1.0, 3.0])
CALLS = {
    "linalg_cholesky": (lambda a: L.cholesky(a, check=True), BAD, "positive definite"),
    "linalg_solve": (lambda a: L.solve(a, np.eye(2, dtype=str(a.dtype)), check=True), SINGULAR, "invertible"),
    "linalg_inv": (lambda a: L.inv(a, check=True), SINGULAR, "invertible"),
    "linalg_solve_triangular": (
        lambda a: L.solve_triangular(a, np.eye(2, dtype=str(a.dtype)), check=True),
        np.array([[1.0, 2.0], [0.0, 0.0]]),
        "invertible",
    ),
}
each = pytest.mark.parametrize("name", CALLS)


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_matrix_is_named(name, dtype):
    f, bad, need = CALLS[name]
    good, bad = GOOD.astype(dtype), bad.astype(dtype)
    with pytest.raises(tl.LinAlgError, match=f"^{name}: the matrix must be {need}$"):
        tl.jit(f)(bad)
    stack = np.stack([[good, good, good], [good, good, bad]])
    for program in (tl.jit(f), tl.vmap(f), tl.jit(tl.vmap(tl.vmap(f))), tl.grad(lambda a: tl.sum(f(a) ** 2))):
        assert np.isfinite(np.asarray(program(stack[:, :2]))).all()
        with pytest.raises(tl.LinAlgError, match=rf"^{name}: matrix \(1, 2\) must be {need}$"):
            program(stack)
    with pytest.raises(tl.LinAlgError, match=f"{name}: every matrix must be {need}"):
        f(bad)
    # Bits are those without the check, and NaN that was given is no failure.
    unchecked = getattr(L, name.removeprefix("linalg_"))
    arguments = () if name in ("linalg_cholesky", "linalg_inv") else (np.eye(2, dtype=dtype),)
    assert np.asarray(tl.jit(f)(good)).tobytes() == np.asarray(tl.jit(lambda a: unchecked(a, *arguments))(good)).tobytes()
    assert np.isnan(np.asarray(tl.jit(f)(np.full((2, 2), np.nan, dtype)))).any()


@each
def test_the_iteration_is_named(name):
    f, bad, need = CALLS[name]
    steps = np.stack([GOOD, GOOD, GOOD, bad, GOOD])

    def program(steps):
        return tl.scan(lambda total, a: (total + tl.sum(f(a)), tl.sum(a)), np.array(0.0), steps)[0]

    for run in (program, tl.jit(program), tl.jit(tl.grad(program))):
        with pytest.raises(tl.LinAlgError, match=f"{name}: the matrix must be {need}") as info:
            run(steps)
        assert "iteration 3" in "".join(getattr(info.value, "__notes__", [])) + str(info.value)


def test_vectors_and_derivatives():
    f = lambda a, b: tl.sum(L.solve(a, b, check=True) ** 2)  # noqa: E731 - one expression
    plain = lambda a, b: tl.sum(L.solve(a, b) ** 2)  # noqa: E731 - the same without the check
    for found, wanted in zip(tl.grad(f, argnums=(0, 1))(GOOD, B), tl.grad(plain, argnums=(0, 1))(GOOD, B), strict=True):
        assert found.tolist() == wanted.tolist()
    t = np.ones((2, 2))
    assert tl.jvp(f, (GOOD, B), (t, B))[1].item() == tl.jvp(plain, (GOOD, B), (t, B))[1].item()
    assert tl.hessian(lambda a: f(a, B))(GOOD).tolist() == tl.hessian(lambda a: plain(a, B))(GOOD).tolist()
    with pytest.raises(tl.LinAlgError, match="linalg_solve: the matrix must be invertible"):
        tl.jit(f)(SINGULAR, B)
    with pytest.raises(tl.LinAlgError, match=r"linalg_solve: matrix \(1,\) must be invertible"):
        tl.vmap(f, in_axes=(0, None))(np.stack([GOOD, SINGULAR]), B)
