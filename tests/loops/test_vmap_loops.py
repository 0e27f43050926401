"""`vmap` of loops and choices, and of their derivatives, against a loop over the examples; Jacobians of loops."""

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(0)
A, W, STEPS = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 3)), RNG.standard_normal((5, 3))
WS = RNG.standard_normal((4, 3, 3))


def close(actual, expected, what=""):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=1e-9, atol=1e-11, err_msg=what)


def check(f, args, axes):
    found = tl.tree.flatten(tl.vmap(f, in_axes=axes)(*args))[0]
    alone = tl.jit(f)
    rows = [tl.tree.flatten(alone(*[a if x is None else a[k] for a, x in zip(args, axes, strict=True)]))[0] for k in range(4)]
    for j, y in enumerate(found):
        close(y, np.stack([np.asarray(r[j]) for r in rows]))


def rolled(c, w):
    return tl.scan(lambda c, x: (tl.tanh(tl.matmul(w, c) + x), tl.sum(c * x)), c, STEPS)


def loss(c, w):
    c, ys = rolled(c, w)
    return tl.sum(c) + tl.sum(tl.sin(ys))


def chosen(x):
    return tl.cond(tl.sum(x) > 0, lambda x: tl.sin(x) * 2, lambda x: tl.sqrt(x * x) + x, x)


def grown(x, **options):
    return tl.while_loop(lambda c: tl.sum(c * c) < 50.0, lambda c: c * 1.5 + 0.1, x, **options)


def counted(x):
    # A state, and how many steps it has had.
    return tl.scan(lambda c, _: ((tl.sin(c[0]), c[1] + 1), None), (x, 1), length=3)[0]


CALLS = {
    "scan": (rolled, (A, W), (0, None)),
    "scan of weights": (rolled, (A[0], WS), (None, 0)),
    "scan of steps": (lambda xs: tl.scan(lambda c, x: (c + x * c, c), A[0], xs), (RNG.standard_normal((4, 5, 3)),), (0,)),
    "gradient of scan": (tl.grad(loss, argnums=(0, 1)), (A, W), (0, None)),
    "tangent of scan": (lambda c, w: tl.jvp(loss, (c, w), (c, w))[1], (A, WS), (0, 0)),
    "fori_loop": (lambda x: tl.fori_loop(0, 4, lambda i, c: tl.sin(c) * 1.1, x), (A,), (0,)),
    "choice that differs": (chosen, (A,), (0,)),
    "gradient of a choice": (tl.grad(lambda x: tl.sum(chosen(x))), (A,), (0,)),
    "one choice for all": (lambda x, p: tl.cond(p > 0, lambda x: tl.sin(x), lambda x: x, x), (A, np.array(1.0)), (0, None)),
    "while_loop": (grown, (A,), (0,)),
    "gradient of while_loop": (tl.grad(lambda x: tl.sum(tl.sin(grown(x)))), (A,), (0,)),
    "gradient of a bounded loop": (tl.grad(lambda x: tl.sum(tl.sin(grown(x, max_steps=30)))), (A,), (0,)),
    "tangent of while_loop": (lambda x: tl.jvp(grown, (x,), (x,))[1], (A,), (0,)),
    "result of a loop that is the same in each lane": (lambda x: x * tl.astype(counted(x)[1], "float64"), (A,), (0,)),
    "gradient beside such a result": (tl.grad(lambda x: tl.sum(counted(x)[0] * tl.astype(counted(x)[1], "float64"))), (A,), (0,)),
    "loop in a map in a map": (lambda x: tl.vmap(lambda a: tl.scan(lambda c, y: (c + y * a, c), x[0], x)[0])(x), (A,), (0,)),
    "linear algebra": (lambda m, b: (tl.linalg.solve(m, b), tl.linalg.det(m)), (WS, A), (0, 0)),
}


@pytest.mark.parametrize("name", CALLS)
def test_in_every_lane(name):
    check(*CALLS[name])


def test_a_gradient_through_mapped_loops():
    mapped = tl.grad(lambda w: tl.sum(tl.vmap(loss, in_axes=(0, None))(A, w)))
    close(mapped(W), sum(np.asarray(tl.grad(lambda w, c=c: loss(c, w))(W)) for c in A))


def test_jacobians_of_loops():
    end = lambda w: rolled(A[0], w)[0]  # noqa: E731
    close(tl.jacfwd(end)(W), tl.jacrev(end)(W))
    close(tl.jacfwd(end, chunk_size=4)(W), tl.jacrev(end, chunk_size=2)(W))
    # The value comes with the Hessian, though a forward sweep makes value and tangent of a loop in one.
    found, value = tl.hessian(lambda w: (loss(A[0], w), loss(A[0], w)), has_aux=True)(W)
    close(found, tl.jacrev(tl.grad(lambda w: loss(A[0], w)))(W))
    close(value, tl.jit(lambda w: loss(A[0], w))(W))
    y, push = tl.linearize(end, W)
    close(y, tl.jit(end)(W))
    close(push(W), tl.jvp(end, (W,), (W,))[1])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: tl.cond(x > 0.0, lambda x: tl.log(x) * tl.sqrt(x), lambda x: x * 3.0, x),
        lambda x: tl.while_loop(lambda c: c[0] > 0.25, lambda c: (c[0] - 1.0, c[1] + tl.log(c[0]) * c[0]), (x, 0.0), max_steps=8)[1],
    ],
)
def test_gradients_of_lanes_that_do_not_go_on_are_exact(f):
    """Also where what they do not take is no number."""
    x = np.array([-1.0, 0.0, 2.0, 5.5])
    of_lanes = tl.grad(lambda x: tl.sum(tl.vmap(f)(x)))(x)
    close(of_lanes, [tl.grad(f)(v).item() for v in x])
