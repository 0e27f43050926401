"""Calls of transformations, jit and compiled programs: what is right although unusual, and what a wrong call says."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean import functions

X = np.array([1.0, 2.0, 3.0])
total = lambda ops, *xs: ops.sum(xs[0])  # noqa: E731
cubes = lambda ops, x: ops.sum(ops.mul(ops.square(x), x))  # noqa: E731


def both(test):
    return pytest.mark.parametrize("backend", ["compiled", "eager"])(test)


# The pull-back is of the point that gave the value ------------------------------------------------------------------------------


@both
def test_pull_of_inputs_that_changed(backend):
    x, i = X.copy(), np.array([0, 0])
    _, pull = tl.vjp(lambda ops, x, i: ops.gather_vec_nat(ops.square(x), i), x, i, backend=backend)
    x[:] = 10
    i[:] = 2
    for _ in range(2):
        assert pull(np.ones(2))[0].tolist() == [4, 0, 0]


@both
def test_pull_of_an_array_that_was_released(backend):
    a = tl.square(X)
    _, pull = tl.vjp(lambda ops, x: ops.square(x), a, backend=backend)
    a.release()
    assert pull(np.ones(3))[0].tolist() == [2, 8, 18]


@both
def test_pull_of_what_was_captured(backend):
    rate, c, p = 2.0, np.ones(3), tl.Param(np.ones(3))
    _, pull = tl.vjp(lambda ops, x: ops.scale(ops.mul(ops.mul(x, c), p), rate), X, backend=backend)
    rate = 5.0
    c[:] = 5
    p.set(np.full(3, 5.0))
    tl.optim.SGD([p], lr=1.0).step([np.ones(3)])
    assert pull(np.ones(3))[0].tolist() == [2, 2, 2] and rate == 5.0


@both
def test_pull_of_numbers_and_trees(backend):
    y, pull = tl.vjp(lambda ops, p, c: ops.scale(ops.mul(p["a"], p["b"][0]), 2.0), {"a": X, "b": [X]}, 3.0, backend=backend)
    made = pull(np.ones(3))
    assert y.tolist() == [2, 8, 18] and made[0]["a"].tolist() == [2, 4, 6] and made[1].item() == 0.0


@both
def test_integer_directions_are_cast(backend):
    (product,) = tl.hvp(cubes, (X,), (np.array([1, 0, 0]),), backend=backend)
    assert product.tolist() == [6, 0, 0] and product.dtype == "float64"
    _, dy = tl.jvp(cubes, (X.astype("f4"),), (np.array([True, False, False]),), backend=backend)
    assert dy.item() == 3.0 and dy.dtype == "float32"
    _, pull = tl.vjp(lambda ops, x: ops.square(x), X, backend=backend)
    assert pull(np.array([1, 0, 1]))[0].tolist() == [2, 0, 6]


# Several arguments, any keys ------------------------------------------------------------------------------------------------------


@both
def test_jacobians_by_several_arguments(backend):
    y = np.array([4.0, 5.0, 6.0])
    for jacobian in (tl.jacrev, tl.jacfwd):
        by_x, by_y = jacobian(lambda ops, x, y: ops.mul(x, y), argnums=(0, 1), backend=backend)(X, y)
        np.testing.assert_array_equal(by_x, np.diag(y))
        np.testing.assert_array_equal(by_y, np.diag(X))
        (alone,) = jacobian(lambda ops, x, y: ops.mul(x, y), argnums=(-1,), backend=backend)(X, y)
        np.testing.assert_array_equal(alone, np.diag(X))
        assert jacobian(lambda ops, x: ops.exp(x), argnums=(0,))(np.zeros(0))[0].shape == (0, 0)


@both
def test_hessians_in_blocks(backend):
    y = np.array([4.0, 5.0])
    f = lambda ops, x, y: ops.mul(ops.sum(ops.square(x)), ops.sum(ops.mul(ops.square(y), y)))  # noqa: E731
    (xx, xy), (yx, yy) = tl.hessian(f, argnums=(0, 1), backend=backend)(X, y)
    np.testing.assert_allclose(xx, 2 * np.eye(3) * (y**3).sum())
    np.testing.assert_allclose(xy, np.outer(2 * X, 3 * y**2))
    np.testing.assert_allclose(yx, np.asarray(xy).T)
    np.testing.assert_allclose(yy, np.diag(6 * y) * (X**2).sum())
    np.testing.assert_array_equal(tl.hessian(f, argnums=1, backend=backend)(X, y), yy)
    assert np.asarray(tl.hessian(f, argnums=(1,), backend=backend)(X, y)[0][0]).tolist() == np.asarray(yy).tolist()


@both
def test_dictionaries_with_any_keys(backend):
    f = lambda ops, p: ops.sum(ops.mul(ops.mul(p[1], p["a"]), ops.scale(p[None], 2.0)))  # noqa: E731
    g = tl.grad(f, backend=backend)
    first, second = {1: X, "a": X + 1, None: X + 2}, {None: X + 2, "a": X + 1, 1: X}
    for p in (first, second):
        made = g(p)
        assert made.keys() == p.keys()
        np.testing.assert_array_equal(made["a"], 2 * X * (X + 2))
    assert backend == "eager" or len(g._known) == 1
    keys = [(1, "a"), ("a", 1), 2.5, True, b"x", frozenset((1, 2)), 7]
    leaves, structure = tl.tree.flatten(dict.fromkeys(keys, 1.0))
    assert tl.tree.flatten(dict.fromkeys(reversed(keys), 1.0))[1] == structure
    assert tl.tree.unflatten(structure, leaves) == dict.fromkeys(keys, 1.0)


@both
def test_a_jitted_program_is_a_program(backend):
    f = tl.jit(cubes)
    np.testing.assert_array_equal(tl.grad(f, backend=backend)(X), 3 * X**2)
    s = tl.Session(dtype="float64")
    assert f(s, s.input(X)).item() == 36.0 and f(s.input(X)).item() == 36.0


# Mistakes ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tl.grad(total, has_aux=True)(X), tl.OptionError, r"grad: has_aux=True, so the program returns \(scalar, aux\), got a ref"),
        (lambda: tl.grad(lambda o, x: (o.sum(x), 1, 2), has_aux=True)(X), tl.OptionError, "got 3 results"),
        (lambda: tl.grad(lambda o, x: (o.sum(x), x))(X), tl.OptionError, r"got tuple; has_aux=True is for programs"),
        (lambda: tl.grad(lambda o, x: None)(X), tl.OptionError, "grad: the program returns a reference, got NoneType"),
        (lambda: tl.grad(3), tl.OptionError, r"grad: a program must be a function f\(\*xs\) or f\(ops, \*xs\), got int"),
        (lambda: tl.jit("f"), tl.OptionError, "jit: a program must be a function"),
        (lambda: tl.compile_out(None, [(2,)]), tl.OptionError, "compile_out: a program must be a function"),
        (lambda: tl.grad(total, argnums="x"), tl.OptionError, "argnums must be an int or a tuple of ints, got 'x'"),
        (lambda: tl.grad(total, argnums=1.0), tl.OptionError, "argnums must be an int"),
        (lambda: tl.grad(total, argnums=(0, 2))(X), tl.OptionError, "argnums names argument 2, the program has 1"),
        (lambda: tl.grad(total)(), tl.OptionError, "argnums names argument 0, the program has 0"),
        (lambda: tl.grad(total, has_aux=X), tl.OptionError, "has_aux must be True or False"),
        (lambda: tl.grad(total, backend=X), tl.OptionError, "backend must be 'compiled' or 'eager'"),
        (lambda: tl.vjp(lambda o, x: [o.sum(x), x], X)[1]((1.0, X)), tl.ShapeError, r"structure, \[\*, \*\], got \(\*, \*\)"),
        (lambda: tl.vjp(lambda o, x: {"a": x}, X)[1]({"b": X}), tl.ShapeError, r"\{'a': \*\}, got \{'b': \*\}"),
        (lambda: tl.vjp(total, X)[1](tl.Session()), tl.OptionError, "takes a cotangent alone"),
        (lambda: tl.jvp(total, X, X), tl.OptionError, "jvp: xs must be a tuple with one entry for each argument, got ndarray"),
        (lambda: tl.hvp(total, (X,), X), tl.OptionError, "hvp: the directions must be a tuple"),
        (lambda: tl.hvp(total, (X,), (X, X)), tl.ShapeError, "hvp: one direction for each of the 1 arguments, got 2"),
        (lambda: tl.hvp(lambda o, x: x, (X,), (X,)), tl.ShapeError, r"hvp: the program returns a scalar, got shape \(3,\)"),
        (lambda: tl.hvp_params(total, X, (), (X,)), tl.OptionError, "hvp_params: params must be a tuple or a list"),
        (
            lambda: tl.jacrev(lambda o, x: x, has_aux=True)(X),
            tl.OptionError,
            r"jacrev: has_aux=True, so .* \(result, aux\), got a reference",
        ),
        (lambda: tl.jacrev(total, chunk_size="all"), tl.OptionError, "jacrev: chunk_size must be an int, not 'all'"),
        (lambda: tl.jacfwd(total)(np.array([1, 2])), tl.DTypeError, "jacfwd: argument 0 holds no floating-point numbers, got int64"),
        (lambda: tl.compile_out(total, 3), tl.ShapeError, "compile_out: shapes must be a sequence with a shape or a Spec"),
        (lambda: tl.compile_out(total, [3.5]), tl.ShapeError, "a shape must be a sequence of ints"),
        (lambda: tl.compile_out(total, [(3,)], dtype=X), tl.DTypeError, "dtype must be float32 or float64"),
        (lambda: tl.compile_out(total, [(3,)], device=X), tl.OptionError, "device must be 'cpu', 'cuda'"),
        (lambda: tl.compile_out(total, [tl.Spec((3,), "float16")]), tl.DTypeError, "Spec: dtype must be one of .*, got 'float16'"),
        (lambda: tl.compile_out(total, [tl.Spec((3,), int)]), tl.DTypeError, "Spec: dtype must be one of"),
        (lambda: tl.compile_out(total, [(3,)]).jvp((X,), 1.0), tl.OptionError, "jvp: the directions must be a tuple"),
        (lambda: tl.compile_out(total, [(3,)]).vjp_with_seed(3, 1.0), tl.OptionError, "the arguments must be a tuple"),
        (lambda: tl.GraphM().arg([0], (3,)), tl.OptionError, "argument 0 comes next"),
        (lambda: tl.tree.map(max, [1, 2], [1]), tl.ShapeError, "the trees must have one number of leaves, got 2 and 1"),
        (lambda: tl.Rng(0).permutation("3"), tl.OptionError, "a permutation's length must be an int of at least 0"),
        (lambda: tl.Rng(0).uniform((1 << 40, 1 << 40)), tl.ShapeError, "too many elements|more than memory holds"),
    ],
)
def test_what_a_wrong_call_says(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "float32", np.float64, np.int64, np.int32, np.bool_])
def test_specs_take_numpy_dtypes(dtype):
    f = tl.compile_out(lambda ops, x: x, [tl.Spec((2,), dtype)], "float64" if dtype is np.float64 else "float32")
    assert f(np.array([1, 1], dtype)).dtype == np.dtype(dtype).name


# Free functions -------------------------------------------------------------------------------------------------------------------------

WRONG = [None, 1, 2**62, 1.5, "a", (2**62, 2**62), ((2**62, 2**62),), [None], [[1, 2], [3]], {1: 2}, object(), np.array(["a"])]
WRONG += [np.ones(2, complex), np.array([1, 2]), tl.Param([1.0]), tl.Spec((2,)), slice(None), np.dtype("f4"), np.float32, memoryview(X)]


@pytest.mark.parametrize("name", functions.NAMES)
def test_free_functions_raise_errors_of_tlean(name):
    f = getattr(tl, name)
    count = f.__code__.co_argcount
    rng = np.random.default_rng(0)
    record = tl.jit(lambda ops, x, *more: getattr(ops, name)(x, *more))
    for k in range(30):
        given = [np.ones((2, 3)) if k % 2 and rng.random() < 0.6 else WRONG[rng.integers(len(WRONG))] for _ in range(count)]
        for call in (lambda: f(*given), lambda: record._record(tl.GraphM("float64"), *given)):  # noqa: B023
            try:
                call()
            except (tl.TleanError, MemoryError):
                continue


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tl.einsum(1, X, X), tl.OptionError, "einsum: spec must be a text such as 'ij,jk->ik', not int"),
        (lambda: tl.nll_loss(None, [0]), tl.ShapeError, "nll_loss: log_probs is required, got None"),
        (lambda: tl.nll_loss(np.ones((2, 3)), [0, 1], None, "a"), tl.OptionError, "nll_loss: ignore_index must be an int, not"),
        (lambda: tl.global_avg_pool2d_chw(None), tl.ShapeError, "global_avg_pool2d_chw: x is required, got None"),
        (lambda: tl.pad(np.ones(2), ((2**62, 2**62),)), tl.ShapeError, "pad: a result must have at most"),
        (lambda: tl.huber_loss(X, X, delta="1"), tl.OptionError, "huber_loss: delta must be a number of at least 0, got"),
        (lambda: tl.l1_loss(X, X, X), tl.OptionError, "l1_loss: reduction must be one of none, mean, sum"),
        (lambda: tl.argmax(X, memoryview(X)), tl.OptionError, "argmax: axis must be a number, a string or a sequence"),
        (lambda: tl.concat(3), tl.ShapeError, "concat: a sequence of arrays is expected, got int"),
        (lambda: tl.Session().stack(3), tl.ShapeError, "stack: a sequence of arrays is expected, got int"),
        (lambda: tl.gather_row(np.ones((2, 3)), np.float32), tl.DTypeError, "gather_row: i: an array of dtype object is not taken"),
    ],
)
def test_what_a_wrong_call_of_an_op_says(call, error, message):
    with pytest.raises(error, match=message):
        call()
