"""Programs without `ops`: how a function is called, what the running program is, and that every transformation takes both kinds."""

from __future__ import annotations

import functools
import threading

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.ops.protocol import Ops
from tlean.programs.recorder import Recorder
from tlean.programs.running import frame

X = np.array([1.0, 2.0, 3.0])
Y = np.array([0.5, -1.0, 2.0])


def both(test):
    return pytest.mark.parametrize("backend", ["compiled", "eager"])(test)


def same(a, b):
    (xs, structure), (ys, other) = tl.tree.flatten(a), tl.tree.flatten(b)
    assert structure == other
    for x, y in zip(xs, ys, strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
        assert str(x.dtype) == str(y.dtype)


# How a function is called ---------------------------------------------------------------------------------------------------------------


class Model:
    def loss(self, ops, x):
        return ops.sum(x)

    def plain(self, x):
        return tl.sum(x)

    def __call__(self, x):
        return tl.sum(x)


def annotated(o: Ops, x, y=None):
    return o.sum(x)


def named_in_text(o: tl.Ops, x, y=None):  # an annotation is a string here
    return o.sum(x)


def decorated(f):
    @functools.wraps(f)
    def wrapper(*args, **keywords):
        return f(*args, **keywords)

    return wrapper


def with_one_more(f):
    @functools.wraps(f)
    def wrapper(x):
        return f(x, x)

    return wrapper


CONVENTIONS = {
    "one argument": (lambda x: tl.sum(x), 1, False),
    "named ops": (lambda ops, x: ops.sum(x), 1, True),
    "named ops, any arguments": (lambda ops, *xs: ops.sum(xs[0]), 1, True),
    "named ops, with a default": (lambda ops, x, y=None: ops.sum(x), 2, True),
    "another name": (lambda o, x: o.sum(x), 1, True),
    "another name, two arguments": (lambda o, x: tl.sum(x), 2, False),
    "could be either": (lambda x, y=None: tl.sum(x), 1, False),
    "any arguments": (lambda *xs: tl.sum(xs[0]), 1, False),
    "annotated": (annotated, 1, True),
    "annotated in text": (named_in_text, 2, True),
    "ops in another place": (lambda x, ops=None: tl.sum(x), 1, False),
    "bound method": (Model().loss, 1, True),
    "plain bound method": (Model().plain, 1, False),
    "callable object": (Model(), 1, False),
    "partial": (functools.partial(lambda ops, x, y: ops.sum(x), y=1), 1, True),
    "partial that takes ops away": (functools.partial(lambda ops, x: tl.sum(x), None), 1, False),
    "decorated": (decorated(lambda ops, x: ops.sum(x)), 1, True),
    "decorated plain": (decorated(lambda x: tl.sum(x)), 1, False),
    "a decorator that adds an argument": (with_one_more(lambda x, y: tl.sum(tl.mul(x, y))), 1, False),
    "a free function": (tl.sum, 1, False),
    "another transformation": (tl.value_and_grad(lambda x: tl.sum(x)), 1, False),
    "another transformation, with ops": (tl.jit(lambda ops, x: ops.sum(x)), 1, True),
    "no signature": (min, 1, False),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_how_a_function_is_called(name):
    function, count, expected = CONVENTIONS[name]
    recorder = Recorder("test", function)
    recorder.positional(count, {})
    assert recorder.with_ops is expected
    if name != "no signature":
        result = tl.jit(function)(*[X] * count)
        assert np.asarray(result[0] if isinstance(result, tuple) else result).tolist() in (6.0, 14.0)


def test_it_is_decided_once_and_shown():
    def loss(o, x):
        return o.sum(x)

    def plain(x, scale=1.0):
        return tl.sum(x)

    f, g = tl.jit(loss), tl.grad(plain)
    assert repr(f) == "<jit of loss>" and repr(g) == "<grad of plain>"
    f(X), g(X)
    assert repr(f) == "<jit of loss, called with ops>" and repr(g) == "<grad of plain, a plain function>"
    with pytest.raises(tl.CallError, match=r"jit: loss\(o, x\) does not take these arguments: too many positional arguments"):
        f(X, X)
    assert repr(tl.hessian(lambda ops, x: x)) == "<hessian of <lambda>, called with ops>"
    made = tl.compile_scalar(plain, [(3,)])
    assert repr(made) == "<CompiledScalar of plain, a plain function: 1 nodes, 1 arguments, float32>"
    trainer = tl.ScalarTrainer(tl.Options(dtype="float64"), [X], [], lambda w: tl.sum(w))
    trainer.forward()
    assert repr(trainer) == "<ScalarTrainer of <lambda>, a plain function: 1 parameters, eager>"


# Every transformation -------------------------------------------------------------------------------------------------------------------


def with_ops(ops, x, y):
    return ops.sum(ops.mul(ops.sin(ops.mul(x, y)), ops.square(x)))


def plain(x, y):
    return tl.sum(tl.mul(tl.sin(x * y), tl.square(x)))


@both
@pytest.mark.parametrize("transformation", [tl.grad, tl.value_and_grad, tl.hessian, tl.jacrev, tl.jacfwd])
def test_transformations(transformation, backend):
    a = transformation(with_ops, argnums=(0, 1), backend=backend)(X, Y)
    same(transformation(plain, argnums=(0, 1), backend=backend)(X, Y), a)
    # Inside another program, recorded there: on a session, in jit, and by keyword.
    s = tl.Session(dtype="float64")
    same(tl.tree.map(lambda r: r.value, transformation(plain, argnums=(0, 1))(s.input(X), s.input(Y))), a)
    same(tl.jit(lambda x, y: transformation(plain, argnums=(0, 1))(x, y))(X, Y), a)


def test_as_a_scientist_writes_it():
    np.testing.assert_allclose(tl.grad(lambda x: tl.sum(tl.sin(x) ** 2))(X), np.sin(2 * X), rtol=1e-14)
    f = lambda x, *, rate=1.0, mask=None, flag=False: tl.sum(tl.where(mask, rate * x**2, -x if flag else x))  # noqa: E731
    mask = np.array([True, False, True])
    x = X.astype("f4")
    for _ in range(2):
        g = tl.grad(f)(x, rate=3.0, mask=mask, flag=True)
        assert g.tolist() == [6.0, -1.0, 18.0] and g.dtype == "float32"
        np.testing.assert_array_equal(X - 0.5 * tl.grad(f)(X, mask=mask), [0.0, 1.5, 0.0])
    assert tl.jit(lambda x, i: x[i] * 2, static_argnums=1)(X, 1).item() == 4.0


@both
def test_products(backend):
    g = np.array(2.0)
    for f in (with_ops, plain):
        y, pull = tl.vjp(f, X, Y, backend=backend)
        made = y, pull(g), tl.jvp(f, (X, Y), (Y, X), backend=backend), tl.hvp(f, (X, Y), (Y, None), backend=backend)
        made += (tl.hvp_params(f, (X,), (Y,), (Y,), backend=backend),)
        if f is with_ops:
            expected = made
    same(made, expected)


def test_compiled_programs():
    for make in (tl.compile_scalar, tl.compile_out):
        a, b = (make(f, [(3,), (3,)], dtype="float64") for f in (with_ops, plain))
        same(a(X, Y), b(X, Y))
        same(a.vjp_with_seed((X, Y), 1.0), b.vjp_with_seed((X, Y), 1.0))
    pair = tl.compile_out(lambda x: {"y": x, "two": tl.broadcast_to(2.0, (2,))}, [(3,)])
    assert pair(X)["two"].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("backend", ["compiled", "eager"])
def test_trainers(backend):
    def losses(loss):
        trainer = tl.ScalarTrainer(tl.Options(backend=backend, seed=3), [X], [(3,)], loss)
        return [trainer.step(0.1, Y).item() for _ in range(3)], trainer.get_params(), trainer.aux

    first = losses(lambda ops, w, y: (ops.mse_loss(ops.dropout(w, 0.5), y), {"a": w}))
    same_again = losses(lambda w, y: (tl.mse_loss(tl.dropout(w, 0.5), y), {"a": w}))
    assert first[0] == same_again[0] and len(set(first[0])) == 3
    same(first[1:], same_again[1:])


def test_fit_and_layers():
    def model():
        return nn.Sequential(
            nn.Linear(3, 4), nn.Function(lambda x: tl.tanh(x)), nn.Function(lambda o, x: o.square(x)), nn.Linear(4, 1)
        ).init(0)

    x, y = np.arange(12.0).reshape(4, 3), np.arange(4.0).reshape(4, 1)
    made = []
    for loss in ("mse_loss", lambda output, target: tl.mse_loss(output, target), lambda o, output, target: o.mse_loss(output, target)):
        m = model()
        tl.fit(m, (x, y), loss, epochs=2, batch_size=2, verbose=False)
        made.append([p.get() for p in m.parameters()])
    same(made[1], made[0])
    same(made[2], made[0])


def test_check_grads():
    tl.testing.check_grads(lambda x, y: tl.sum(tl.sin(x * y)), (X, Y))
    wrong = tl.custom_op(lambda x: x**2, lambda x, y, g: 3 * x * g, jvp=lambda x, t: 2 * x * t)
    with pytest.raises(AssertionError, match=r"argument 1 \(weight\)"):
        tl.testing.check_grads(lambda x, weight: tl.sum(tl.mul(x, wrong(weight))), (X, Y), order=1)


# The running program --------------------------------------------------------------------------------------------------------------------


def test_random_numbers_belong_to_the_program():
    ones = np.ones(64)
    for drop in (tl.jit(lambda x: tl.dropout(x, 0.5)), tl.compile_out(lambda x: tl.dropout(x, 0.5), [(64,)])):
        assert drop(ones).tolist() != drop(ones).tolist()
    noise = tl.jit(lambda: tl.rand_uniform((8,)))
    twice = tl.jit(lambda x: (tl.add(x, noise()), noise()))
    (a, b), (c, d) = twice(np.zeros(8, "f4")), twice(np.zeros(8, "f4"))
    assert len({tuple(v.tolist()) for v in (a, b, c, d)}) == 4
    seeded = [tl.jit(f, seed=5) for f in (lambda x: tl.dropout(x, 0.5), lambda ops, x: ops.dropout(x, 0.5))]
    same(seeded[0](ones), seeded[1](ones))


@both
def test_free_functions_on_arrays_are_recorded(backend):
    c = np.ones(3)
    g = tl.grad(lambda x: tl.sum(tl.mul(x, tl.exp(c))), backend=backend)
    f = tl.jit(lambda x: tl.mul(x, tl.exp(c)))
    for value in (1.0, 2.0):
        c[:] = value
        np.testing.assert_array_equal(g(X), tl.exp(c))
        np.testing.assert_array_equal(f(X), tl.mul(X, tl.exp(c)))
    assert "c" not in f.captured


def test_transformations_of_arrays_are_recorded_too():
    c = np.ones(3)
    inner = tl.grad(lambda x: tl.sum(tl.sin(x)))
    f = tl.jit(lambda x: tl.mul(x, inner(c)))
    same(f(X), tl.mul(X, tl.cos(c)))
    c[:] = 2.0
    same(f(X), tl.mul(X, tl.cos(c)))
    y, pull = tl.jit(lambda x: (lambda y, pull: (y, pull(tl.broadcast_to(1.0, (3,)))))(*tl.vjp(tl.sin, c)))(X)
    same((y, pull), (tl.sin(c), (tl.cos(c),)))


def test_the_innermost_program():
    # A reference of the program around is captured by the one inside, also where it is the only one that a free function gets.
    f = tl.jit(lambda x: tl.grad(lambda y: tl.sum(tl.mul(y, tl.sin(x))))(x))
    same(f(X), tl.sin(X))
    g = tl.grad(lambda x: tl.sum(tl.grad(lambda y: tl.sum(tl.mul(tl.square(y), tl.sin(x))))(x)))
    np.testing.assert_allclose(g(X), 2 * np.sin(X) + 2 * X * np.cos(X), rtol=1e-12)
    s = tl.Session(dtype="float64")
    x = s.input(X)
    y = tl.grad(lambda y: tl.sum(tl.mul(y, tl.sin(x))))(x)
    same(y.value, tl.sin(X))
    # A tape that has nothing to do with it keeps its own ops.
    m = tl.TapeM(tl.Tape(dtype="float64"))
    r = m.leaf(X)

    def program(x):
        assert tl.sin(r).ops is m
        return tl.mul(x, np.asarray(tl.sin(r).value))

    same(tl.jit(program)(X), tl.mul(X, tl.sin(X)))


def test_outside_of_a_program_values_are_computed():
    assert isinstance(tl.sin(X), tl.AnyTensor) and frame() is None
    seen = []

    def program(x):
        seen.append(frame())
        thread = threading.Thread(target=lambda: seen.append(tl.sin(X)))
        thread.start()
        thread.join()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tl.jit(program)(X)
    assert seen[0] is not None and isinstance(seen[1], tl.AnyTensor)
    assert frame() is None and isinstance(tl.rand_uniform((2,)), tl.AnyTensor)


@pytest.mark.parametrize("backend", ["compiled", "eager"])
def test_custom_ops_compute_outside(backend):
    # Its functions run while an eager program does, and get arrays.
    def forward(x):
        assert frame() is None
        return np.asarray(tl.square(x))

    square = tl.custom_op(forward, lambda x, y, g: np.asarray(tl.mul(tl.scale(x, 2.0), g)))
    trainer = tl.ScalarTrainer(tl.Options(backend=backend, dtype="float64"), [X], [], lambda w: tl.sum(square(w)))
    trainer.step(0.5)
    assert trainer.get_params()[0].tolist() == [0.0, 0.0, 0.0]
    c = np.ones(3)
    f = tl.jit(lambda x: tl.mul(x, square(c)))
    f(X)
    c[:] = 3.0
    assert f(X).tolist() == [9.0, 18.0, 27.0]


# Keyword arguments ------------------------------------------------------------------------------------------------------------------------


def weighed(x, *, weight=None, power=2.0, mode="sum", flip=False, act=None):
    assert mode is None or isinstance(mode, str)
    y = tl.mul(x, tl.broadcast_to(power, (3,)))
    y = y if act is None else act(y)
    y = y if weight is None else tl.mul(y, weight["w"])
    y = tl.neg(y) if flip is True else y
    return tl.sum(y) if mode == "sum" else tl.mean(y)


@both
def test_keyword_arguments(backend):
    g = tl.grad(weighed, backend=backend)
    w = {"w": Y, "name": "weight", "none": None}
    for power in (2.0, 3.0, 3):
        assert g(X, power=power).tolist() == [power] * 3
        np.testing.assert_array_equal(g(X, weight=w, power=power), power * Y)
    assert len(g._known) == (2 if backend == "compiled" else 0)
    assert g(X, flip=True).tolist() == [-2.0] * 3 and g(X, flip=False).tolist() == [2.0] * 3
    np.testing.assert_allclose(g(X, mode="mean"), np.full(3, 2 / 3))
    np.testing.assert_allclose(g(X, mode=None), np.full(3, 2 / 3))
    np.testing.assert_allclose(g(X, act=tl.sin), 2 * np.cos(2 * X))
    np.testing.assert_allclose(g(X, act=tl.cos, flip=True), 2 * np.sin(2 * X))
    # Python numbers are weak.
    assert g(X.astype("f4"), power=3.0).dtype == "float32"
    # A gradient has the dtype of what it belongs to.
    assert g(X.astype("f4"), power=np.array(3.0)).dtype == "float32"


@both
def test_keyword_arguments_of_every_transformation(backend):
    keywords = {"power": 3.0, "act": tl.sin, "weight": {"w": Y}}

    def program(ops, x):
        return ops.sum(ops.mul(ops.sin(ops.scale(x, 3.0)), ops.const(Y)))

    for t in (tl.grad, tl.value_and_grad, tl.hessian, tl.jacrev, tl.jacfwd):
        same(t(weighed, backend=backend)(X, **keywords), t(program, backend=backend)(X))
    (y, pull), (z, other) = tl.vjp(weighed, X, backend=backend, **keywords), tl.vjp(program, X, backend=backend)
    same((y, pull(2.0)), (z, other(2.0)))
    for call in (tl.jvp, tl.hvp):
        same(call(weighed, (X,), (Y,), backend=backend, **keywords), call(program, (X,), (Y,), backend=backend))
    same(tl.hvp_params(weighed, (X,), (), (Y,), backend=backend, **keywords), tl.hvp_params(program, (X,), (), (Y,), backend=backend))
    same(tl.jit(weighed)(X, **keywords), tl.jit(program)(X))
    # And recorded into other programs.
    s = tl.Session(dtype="float64")
    same(tl.grad(weighed)(s.input(X), **keywords).value, tl.grad(program)(X))
    same(tl.jit(lambda x: tl.grad(weighed)(x, **keywords))(X), tl.grad(program)(X))
    same(tl.jit(lambda ops, x: tl.grad(weighed)(ops, x, **keywords))(X), tl.grad(program)(X))


def test_what_an_argument_captures_is_looked_at():
    rate, c = 2.0, np.ones(3)

    def act(x):
        return tl.mul(tl.scale(x, rate), c)

    g = tl.grad(weighed)
    assert g(X, act=act).tolist() == [4.0] * 3
    rate = 3.0
    assert g(X, act=act).tolist() == [6.0] * 3
    c[:] = 2.0
    assert g(X, act=act).tolist() == [12.0] * 3
    f = tl.jit(weighed)
    f(X, act=act)
    assert f.captured["act.rate"] == 3.0


# Static arguments -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"static_argnums": 1}, {"static_argnums": (-1,)}, {"static_argnames": "n"}, {"static_argnames": ("n",)}])
@pytest.mark.parametrize("ops_first", [False, True])
def test_static_arguments(how, ops_first):
    def power(x, n):
        assert type(n) is int
        for _ in range(n - 1):
            x = tl.square(x)
        return x

    j = tl.jit((lambda ops, x, n: power(x, n)) if ops_first else power, **how)
    for _ in range(2):
        assert j(X, 2).tolist() == [1.0, 4.0, 9.0] and j(X, n=3).tolist() == [1.0, 16.0, 81.0] and j(X, 1).tolist() == [1.0, 2.0, 3.0]
    assert len(j._known) == 3
    same(tl.grad(lambda x: tl.sum(j(x, 2)))(X), 2 * X)
    same(tl.jit(lambda x: j(x, n=2))(X), X * X)


def test_static_values():
    seen = []
    j = tl.jit(lambda x, value: (seen.append(value), x)[1], static_argnums=1)
    total = Model().plain
    given = [1, 1.0, True, "a", (1, 2), (1.0, 2), 0.0, -0.0, float("nan"), None, tl.Spec((3,)), len, np.float64, total]
    for value in given:
        j(X, value)
        assert seen[-1] is value
    assert len(j._known) == len(given)
    for value in (1, (1, 2), "a", float("nan"), tl.Spec((3,)), len, total, Model.plain.__get__(total.__self__)):
        j(X, value)
    assert len(j._known) == len(given)


# Mistakes -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tl.jit(plain)(), tl.CallError, r"jit: plain\(x, y\) does not take these arguments: missing a required argument: 'x'"),
        (lambda: tl.grad(plain)(X, Y, z=1), tl.CallError, r"grad: plain\(x, y\) .* unexpected keyword argument 'z'"),
        (lambda: tl.grad(with_ops)(X), tl.CallError, r"grad: with_ops\(ops, x, y\) .* missing a required argument: 'y'"),
        (lambda: tl.compile_out(plain, [(3,)] * 3), tl.CallError, r"compile_out: plain\(x, y\) .* too many positional arguments"),
        (lambda: tl.vjp(plain, X, Y, sed=1), tl.CallError, r"vjp: plain\(x, y\) .* 'sed'"),
        (
            lambda: tl.ScalarTrainer(tl.Options(), [X], [(3,)], lambda w: w).forward(X),
            tl.CallError,
            r"ScalarTrainer: <lambda>\(w\) does not",
        ),
        (lambda: tl.grad(plain)(x=X, y=Y), tl.OptionError, "argnums names argument 0, the program has 0 by position"),
        (lambda: tl.jit(plain)(X, "a"), tl.DTypeError, "jit: argument 1: .*; a keyword argument, or one of static_argnums of jit, may be"),
        (lambda: tl.jit(plain)(X, {"a": [X, object()]}), tl.DTypeError, "jit: argument 1: "),
        (lambda: tl.grad(plain)(X, y=object()), tl.DTypeError, "grad: argument 'y': "),
        (lambda: tl.jit(plain, static_argnums="y"), tl.OptionError, "jit: static_argnums must be an int or several, got 'y'"),
        (lambda: tl.jit(plain, static_argnames=1), tl.OptionError, "jit: static_argnames must be a name or several, got 1"),
        (lambda: tl.jit(plain, static_argnames="z"), tl.OptionError, r"jit: static_argnames names 'z', which plain\(x, y\) does not have"),
        (lambda: tl.jit(plain, static_argnums=2)(X, Y), tl.OptionError, "jit: static_argnums names argument 2, the program has 2"),
        (lambda: tl.jit(plain, static_argnums=1)(X, [1]), tl.OptionError, "jit: argument 1 is static, so it must be hashable, got list"),
        (
            lambda: tl.jit(plain, static_argnames="y")(X, y=Y),
            tl.OptionError,
            "jit: argument 'y' is static, so it must be hashable, got ndarray",
        ),
    ],
)
def test_what_a_wrong_call_says(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_missing_argument():
    # By the rule the function gets the program first; the error says so.
    with pytest.raises(tl.DTypeError) as caught:
        tl.jit(plain)(X)
    assert caught.value.__notes__ == ["jit: plain(x, y) takes one argument more than the call has, so the first was the program (ops)"]
