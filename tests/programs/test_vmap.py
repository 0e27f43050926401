"""`vmap`: axes and trees, what it says of wrong ones, random numbers, and nests with the other transformations."""

import random

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((4, 3)), RNG.standard_normal((5, 3))


def close(actual, expected, what=""):
    actual = np.asarray(actual)
    assert actual.shape == np.shape(expected), what
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9, err_msg=what)


# Axes ---------------------------------------------------------------------------------------------------------------------------


def test_axes_of_arguments_and_results():
    f = lambda x, y: tl.sum(x * y)  # noqa: E731
    close(tl.vmap(f, in_axes=(0, None))(A, B[0]), A @ B[0])
    close(tl.vmap(f, in_axes=(-1, 1))(A.T, A.T), (A * A).sum(1))
    close(tl.vmap(tl.vmap(f, in_axes=(None, 0)), in_axes=(0, None))(A, B), A @ B.T)
    close(tl.vmap(lambda x: x + 1.0, out_axes=1)(A), A.T + 1.0)
    close(tl.vmap(lambda x: tl.stack([x, x]), out_axes=-1)(A), np.stack([A.T, A.T]))
    close(tl.vmap(lambda x, y: y, in_axes=(0, None), out_axes=None)(A, B), B)
    close(tl.vmap(lambda x, y: y, in_axes=(0, None))(A, B[0]), np.stack([B[0]] * 4))


def test_trees():
    f = lambda d, s: {"sum": d["a"] + d["b"][0], "same": [d["b"][1] * s]}  # noqa: E731
    d = {"a": A.T, "b": (A, B[0])}
    made = tl.vmap(f, in_axes=({"a": 1, "b": (0, None)}, None), out_axes={"sum": -1, "same": None})(d, np.array(2.0))
    close(made["sum"], 2 * A.T)
    close(made["same"][0], 2 * B[0])
    made = tl.vmap(f, in_axes=({"a": -1, "b": [0, None]}, None), out_axes={"sum": 0, "same": 0})(d, np.array(2.0))
    close(made["same"][0], np.stack([2 * B[0]] * 4))


def test_keyword_arguments():
    f = lambda x, *, scale, how, other=None: tl.sum(x) * scale if how == "sum" else x  # noqa: E731
    close(tl.vmap(f)(A, scale=2.0, how="sum"), 2 * A.sum(1))
    close(tl.vmap(f)(A, scale=np.arange(4.0), how="sum"), np.arange(4.0) * A.sum(1))


def test_captured_arrays_are_read_at_each_call():
    w = B[0].copy()
    program = tl.vmap(lambda x: tl.sum(x * w))
    close(program(A), A @ w)
    w *= 2.0
    close(program(A), A @ w)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: tl.vmap(lambda x, y: x)(A, B), tl.ShapeError, "must have one size, got 4 for argument 0 .* and 5 for argument 1 "),
        (lambda: tl.vmap(lambda d: d)({"a": A, "b": B}), tl.ShapeError, "got 4 for argument 0, leaf 0 .* and 5 for argument 0, leaf 1 "),
        (lambda: tl.vmap(lambda x: x, in_axes=2)(A), tl.IndexRangeError, r"got axis 2 for argument 0 of shape \(4, 3\)"),
        (lambda: tl.vmap(lambda x, y: x)(A, 2.0), tl.IndexRangeError, "or be None, got axis 0 for argument 1, a number"),
        (lambda: tl.vmap(lambda x: x, in_axes=None)(A), tl.ShapeError, "at least one argument must be mapped"),
        (lambda: tl.vmap(lambda x: x, in_axes=(0, 0))(A), tl.OptionError, "in_axes must have the form of what it describes"),
        (lambda: tl.vmap(lambda d: d, in_axes=({"b": 0},))({"a": A}), tl.OptionError, "in_axes must have the form"),
        (lambda: tl.vmap(lambda x: x, in_axes="rows"), tl.OptionError, "in_axes must be an int, None or a tuple or tree of them"),
        (lambda: tl.vmap(lambda x: x, in_axes={"x": 0})({"x": A}), tl.OptionError, "in_axes must be .* a tuple with an entry for each"),
        (lambda: tl.vmap(lambda x: x, out_axes=True), tl.OptionError, "out_axes must be an int"),
        (lambda: tl.vmap(lambda x: x, out_axes=None)(A), tl.OptionError, "out_axes must be None for results alone that are the same"),
        (lambda: tl.vmap(lambda x: x, out_axes=2)(A), tl.IndexRangeError, "an axis of the result, which has 2, got 2"),
        (lambda: tl.vmap(3), tl.OptionError, "vmap: a program must be a function"),
    ],
)
def test_what_a_wrong_call_says(call, error, text):
    with pytest.raises(error, match=text):
        call()


# Backends -----------------------------------------------------------------------------------------------------------------------


def test_it_records_into_every_backend():
    f = lambda x: tl.sum(tl.tanh(x))  # noqa: E731
    expected = np.tanh(A).sum(1)
    close(tl.vmap(f, backend="eager")(A), expected)
    close(tl.jit(lambda x: tl.vmap(f)(x))(A), expected)
    close(tl.vmap(tl.jit(f))(A), expected)
    for backend in ("eager", "compiled"):
        session = tl.Session(tl.Options(backend=backend, dtype="float64"))
        x = session.input(A)
        y = tl.vmap(f)(x)
        grads = session.backward_scalar_dense_all(session.sum(y))
        close(session.get_value(y), expected)
        close(grads[x.id], 1 - np.tanh(A) ** 2)


def test_a_layer_in_every_lane_of_a_session():
    layer, labels = tl.nn.Linear(3, 2), np.array([0, 1, 1, 0])

    def gradients(loss):
        session = tl.Session(tl.Options())
        found = session.backward_params(loss(session, session.input(A)))
        return [np.asarray(found[p]) for p in layer.parameters()]

    mapped = gradients(lambda s, x: s.mean(tl.vmap(lambda r, y: tl.cross_entropy(layer(r), y))(x, labels)))
    whole = gradients(lambda s, x: s.cross_entropy(layer(s, x), labels))
    for a, b in zip(mapped, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_custom_op_runs_lane_by_lane_and_the_program_says_so():
    seen = []

    def cube(x):
        seen.append(x.shape)
        return x**3

    op = tl.custom_op(cube, lambda x, y, g: 3 * x**2 * g, lambda x, t: 3 * x**2 * t)
    program = tl.jit(lambda x: tl.vmap(op)(x))
    close(program(A), A**3)
    assert set(seen) == {(3,)}
    assert len(seen) == 4
    assert "cube, lane 3 of 4" in str(program.graph)
    close(tl.grad(lambda x: tl.sum(tl.vmap(op)(x)))(A), 3 * A**2)
    close(tl.vmap(tl.grad(lambda x: tl.sum(op(x))))(A), 3 * A**2)


# Random numbers -----------------------------------------------------------------------------------------------------------------


def test_each_example_has_random_numbers_of_its_own():
    draw = tl.vmap(lambda x: tl.rand_uniform((2,)) + 0 * x, seed=3)
    numbers = np.asarray(draw(np.zeros(50)))
    assert len(np.unique(numbers)) == 100
    assert 0.4 < numbers.mean() < 0.6
    # One array for all: that of the same seed in the program of all examples.
    close(numbers, tl.jit(lambda x: tl.rand_uniform((50, 2)) + 0 * x, seed=3)(np.zeros((50, 1))))


def test_dropout_drops_alike_in_value_and_gradient():
    f = lambda x: (tl.sum(y := tl.dropout(x, p=0.5)), y)  # noqa: E731
    slopes, kept = tl.vmap(tl.grad(f, has_aux=True))(np.ones((4, 20)))
    assert len({row.tobytes() for row in np.asarray(kept)}) == 4
    close(slopes, np.asarray(kept))
    outer, kept = tl.grad(lambda x: (tl.sum(y := tl.vmap(lambda r: tl.dropout(r, p=0.5))(x)), y), has_aux=True)(np.ones((4, 20)))
    close(outer, np.asarray(kept))


# Nests --------------------------------------------------------------------------------------------------------------------------

W, INDEX = RNG.standard_normal((3, 3)), np.array([2, 0, 2])
PROGRAMS = {
    "tanh": lambda x: tl.tanh(tl.matmul(W, x)),
    "softmax": lambda x: tl.softmax(x * x) * x,
    "norm": lambda x: tl.layer_norm(tl.matmul(x, W), None, None) * tl.sin(x),
    "sort": lambda x: tl.sort(x * x) * tl.cumsum(x, axis=0),
    "rows": lambda x: tl.take(x * x, INDEX, axis=0) * x[1],
    "maximum": lambda x: tl.exp(0.3 * x) * tl.reduce_max(x * x, axis=0),
    "table": lambda x: tl.sum(tl.linear(tl.stack([x, x * x]), None, tl.sin(x))),
    "window": lambda x: tl.conv(tl.reshape(x, (1, 1, 3)), None, tl.reshape(tl.stack([x, x * x, x]), (1, 9))),
    "nothing of x": lambda x: tl.exp(tl.matmul(W, np.ones(3))) + 0.0 * tl.sum(x),
}  # fmt: skip


def by_loop(f):
    # The examples one after the other.
    return lambda x: tl.stack([f(x[k]) for k in range(x.shape[0])])


def nested(program, steps, mapped):
    """The program under transformations, each of them from arrays to arrays."""
    f, axes = program, 0
    for step in steps:
        if step == "grad":
            f = tl.grad(lambda x, f=f: tl.sum(tl.sin(f(x))))
        elif step == "jvp":
            f = lambda x, f=f: tl.jvp(f, (x,), (tl.sin(x),))[1]  # noqa: E731
        elif step == "jit" and mapped is tl.vmap:
            f = tl.jit(f)
        elif step == "vmap":
            f, axes = mapped(f), axes + 1
    return f, axes


def draw(number):
    choice = random.Random(number)
    name = choice.choice(sorted(PROGRAMS))
    steps = [choice.choice(("grad", "jvp", "vmap", "jit")) for _ in range(3)]
    if "vmap" not in steps:
        steps[choice.randrange(3)] = "vmap"
    return name, steps


@pytest.mark.parametrize("number", range(24))
def test_nests(number):
    name, steps = draw(number)
    f, axes = nested(PROGRAMS[name], steps, tl.vmap)
    g, _ = nested(PROGRAMS[name], steps, by_loop)
    x = np.random.default_rng(number).standard_normal((*(2, 3, 2)[:axes], 3))
    close(tl.jit(f)(x), np.asarray(tl.jit(g)(x)), f"{steps} of {name}")


# Linear maps --------------------------------------------------------------------------------------------------------------------


def test_linearize():
    calls = []

    def f(p, x):
        calls.append(1)
        return {"y": tl.tanh(tl.linear(p["w"], None, x)) * p["s"], "x": x + 1.0}

    p, x = {"w": W, "s": np.array(2.0)}, B[0]
    y, push = tl.linearize(f, p, x)
    close(y["y"], 2 * np.tanh(W @ x))
    for k in range(2):
        dp, dx = {"w": W + k, "s": np.array(0.5)}, B[k]
        expected = tl.jvp(f, (p, x), (dp, dx))[1]
        calls.clear()
        found = push(dp, dx)
        close(found["y"], np.asarray(expected["y"]))
        close(found["x"], dx)
        assert not calls
    close(push(None, B[1])["y"], np.asarray(tl.jvp(f, (p, x), (None, B[1]))[1]["y"]))
    close(tl.vmap(lambda d: push(None, d))(B)["y"], np.stack([np.asarray(push(None, d)["y"]) for d in B]))
    # Inside a program, of which its arguments are a part.
    g = lambda x: tl.sum(tl.sin(tl.linearize(f, p, x)[1](None, x)["y"]))  # noqa: E731
    h = lambda x: tl.sum(tl.sin(tl.jvp(f, (p, x), (None, x))[1]["y"]))  # noqa: E731
    close(tl.grad(g)(x), np.asarray(tl.grad(h)(x)))


def test_linearize_draws_random_numbers_once():
    y, push = tl.linearize(lambda x: tl.dropout(x, p=0.5), np.ones(30))
    close(push(np.ones(30)), np.asarray(y))


def test_what_linearize_says_of_wrong_directions():
    _, push = tl.linearize(lambda x, i: tl.take(x, i, axis=0), B[0], np.array([1]))
    X = B[0]
    for dxs, error, text in (
        ((X,), tl.ShapeError, "one direction for each of the 2 arguments, got 1"),
        ((X[:2], None), tl.ShapeError, r"its argument's shape \(3,\), got \(2,\)"),
        ((X, X[:1]), tl.DTypeError, "no floating-point numbers has no direction; pass None"),
        (([X], None), tl.ShapeError, r"its argument's structure \*, got \[\*\]"),
    ):
        with pytest.raises(error, match=text):
            push(*dxs)
