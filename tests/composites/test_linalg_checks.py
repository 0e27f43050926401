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


def _total(x):
    return tl.sum(L.cholesky(x, check=True))


def _ruled(of):
    # A function that has rules, of which one has a check whose value nothing reads.
    f = tl.custom_vjp(lambda x: _total(x) if of == "f" else tl.sum(x))
    f.defvjp(
        lambda x: ((of == "fwd" and _total(x), tl.sum(x))[1], x),
        lambda x, g: ((of == "bwd" and _total(x), g * x)[1],),
    )
    return f


#: Programs of a matrix in which no number that a factor makes is read.
UNREAD = {
    "value": lambda x: (_total(x), x)[1],
    "grad": tl.grad(_total),
    "grad of grad": tl.grad(lambda x: tl.sum(tl.grad(_total)(x))),
    "jvp": lambda x: tl.jvp(_total, (x,), (x,))[1],
    "vjp": lambda x: tl.vjp(_total, x)[1](1.0),
    "linearize": lambda x: tl.linearize(_total, x)[1](x),
    "hessian": tl.hessian(_total),
    "jacfwd": tl.jacfwd(_total),
    "vmap": lambda x: tl.vmap(tl.grad(_total))(tl.stack([x, x])),
    "checkpoint": tl.grad(tl.checkpoint(_total)),
    "cond": tl.grad(lambda x: tl.cond(tl.sum(x) > 0.0, _total, tl.sum, x)),
    "scan": tl.grad(lambda x: tl.scan(lambda c, k: (c + (_total(x), k)[1], None), 0.0 * tl.sum(x), np.ones(2))[0]),
    "fori": tl.grad(lambda x: tl.fori_loop(0, 2, lambda i, c: c + _total(x), 0.0 * tl.sum(x))),
    "while": tl.grad(lambda x: tl.while_loop(lambda c: c < 9.0, lambda c: (_total(x), c * 2.0)[1], tl.sum(x))),
    "jit within": lambda x: tl.grad(tl.jit(_total))(x),
    "function": lambda x: (_ruled("f")(x), x)[1],
    "function's gradient": tl.grad(_ruled("f")),
    "fwd": tl.grad(_ruled("fwd")),
    "bwd": tl.grad(_ruled("bwd")),
}


@pytest.mark.parametrize("what", UNREAD)
def test_a_check_runs_though_nothing_reads_the_value(what):
    UNREAD[what](GOOD)
    for program in (UNREAD[what], tl.jit(UNREAD[what])):
        with pytest.raises(tl.LinAlgError, match="linalg_cholesky: "):
            program(BAD)


def test_a_branch_that_is_not_taken_checks_nothing():
    for of in (lambda x: x, lambda x: BAD):
        f = tl.jit(tl.grad(lambda x, of=of: tl.cond(tl.sum(x) < 0.0, lambda x: _total(of(x)), tl.sum, x)))
        assert f(BAD).tolist() == [[1.0, 1.0], [1.0, 1.0]]
