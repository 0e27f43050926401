"""First and second derivatives of every function of `tl.linalg` beside differences in long double, of matrices of every kind."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.reference.interpreter import Reference

#: By name a program of `ops` and a square matrix; what is undetermined, such as signs, is squared away.
PROGRAMS = {
    "cholesky": lambda ops, a: ops.linalg_cholesky(a),
    "solve": lambda ops, a: ops.linalg_solve(a, SIDES[: a.shape[-1]]),
    "solve_triangular": lambda ops, a: ops.linalg_solve_triangular(a, SIDES[: a.shape[-1]], lower=True),
    "cholesky_solve": lambda ops, a: ops.linalg_cholesky_solve(SIDES[: a.shape[-1]], ops.linalg_cholesky(a)),
    "inv": lambda ops, a: ops.linalg_inv(a),
    "det": lambda ops, a: ops.linalg_det(a),
    "logdet": lambda ops, a: ops.linalg_logdet(a),
    "slogdet": lambda ops, a: ops.linalg_slogdet(a)[1],
    "lu": lambda ops, a: ops.linalg_lu_factor(a)[0],
    "qr": lambda ops, a: ops.linalg_qr(a)[1],
    "eigvalsh": lambda ops, a: ops.linalg_eigvalsh(a),
    "eigh": lambda ops, a: ops.square(ops.linalg_eigh(a)[1]),
    "svdvals": lambda ops, a: ops.linalg_svdvals(a),
    "pinv": lambda ops, a: ops.linalg_pinv(a),
    "expm": lambda ops, a: ops.linalg_expm(ops.scale(a, 0.5)),
    "matrix_power": lambda ops, a: ops.linalg_matrix_power(a, 3),
    "matrix_norm": lambda ops, a: ops.linalg_matrix_norm(a, "nuc"),
}
SIDES = np.random.default_rng(1).standard_normal((6, 2))


def matrices():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    return {
        "1x1": np.array([[1.7]]),
        "3x3": np.array([[2.0, 0.3, -0.4], [0.3, 1.1, 0.2], [-0.4, 0.2, 3.0]]),
        "4x4": (q * [1.0, 1.6, 2.5, 3.1]) @ q.T,
        "strided": np.asfortranarray(np.kron((q * [1.0, 1.6, 2.5, 3.1]) @ q.T, np.ones((2, 2))))[::2, ::2].T,
    }


MATRICES = matrices()


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_are_those_of_differences_in_long_double(name):
    program = PROGRAMS[name]
    for what, a in MATRICES.items():
        rng = np.random.default_rng(5)
        t = rng.standard_normal(a.shape)
        t = t + t.T
        y = np.asarray(program(tl, a))
        w = rng.standard_normal(y.shape)

        def total(x, w=w):
            return tl.sum(program(tl, x) * w)

        def exact(s, a=a, t=t, w=w):
            ops = Reference("longdouble")
            moved = a.astype(np.longdouble) + np.longdouble(s) * t
            return np.sum(program(ops, ops.leaf(moved)).value * w.astype(np.longdouble))

        h = 1e-3
        at = {k: exact(k * h) for k in range(-4, 5)}
        first = sum(c * (at[k] - at[-k]) for k, c in enumerate((4 / 5, -1 / 5, 4 / 105, -1 / 280), 1)) / h
        second = (sum(c * (at[k] + at[-k]) for k, c in enumerate((8 / 5, -1 / 5, 8 / 315, -1 / 560), 1)) - 205 / 72 * at[0]) / h**2
        size = np.abs(w).sum() * max(1.0, float(np.abs(y).max(initial=0)))
        slope = tl.grad(total)
        assert np.sum(np.asarray(slope(a)) * t) == pytest.approx(float(first), abs=1e-9 * size), what
        assert tl.jvp(total, (a,), (t,))[1].item() == pytest.approx(float(first), abs=1e-9 * size), what
        curvature = tl.jvp(slope, (a,), (t,))[1]
        assert np.sum(np.asarray(curvature) * t) == pytest.approx(float(second), abs=1e-8 * size), what
        assert tl.jit(total)(a).item() == pytest.approx(float(at[0]), abs=1e-12 * size), what
        # The same in a batch, under vmap, and from memory in another order.
        stack = np.stack([a, a])
        assert np.asarray(program(tl, stack))[1].tobytes() == y.tobytes(), what
        lanes = np.asarray(tl.vmap(slope)(stack))
        np.testing.assert_allclose(lanes[0], np.asarray(slope(np.ascontiguousarray(a))), rtol=1e-12, atol=1e-12 * size)


@pytest.mark.parametrize("name", sorted({*PROGRAMS} - {"matrix_norm", "slogdet", "logdet"}))
def test_no_rows_at_all(name):
    for shape in ((0, 0), (2, 0, 0), (0, 3, 3)):
        a = np.zeros(shape)
        y = PROGRAMS[name](tl, a)
        assert tuple(y.shape)[: len(shape) - 2] == shape[:-2]
        assert tl.grad(lambda x: tl.sum(PROGRAMS[name](tl, x)))(a).shape == shape
