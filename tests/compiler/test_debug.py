"""`tl.debug` in every kind of program: what is printed, in which order, how often."""

from pathlib import Path

import numpy as np
import pytest

import tlean as tl

X = np.array([1.0, 2.0, 3.0])


def program(x):
    tl.debug.print("sum {:.1f} of {n}", tl.sum(x), n=x.shape[0])

    def step(c, w):
        tl.debug.print("step {}", w)
        return c * w, None

    c, _ = tl.scan(step, x, np.array([1.0, 2.0]))
    tl.cond(tl.sum(x) > 0, lambda: said("positive") or x, lambda: said("negative") or x)
    said("last")
    return tl.sum(tl.sin(c))


def said(text):
    tl.debug.print(text)


ONCE = ["sum 6.0 of 3", "step 1.0", "step 2.0", "positive", "last"]
PROGRAMS = {
    "compiled": lambda: tl.jit(program),
    "gradient": lambda: tl.grad(program),
    "eager gradient": lambda: tl.grad(program, backend="eager"),
    "rows of a Jacobian": lambda: tl.jacrev(program),
    "in a session": lambda: lambda x: program(tl.Session(dtype="float64").input(x)),
    "gradient in a session": lambda: lambda x: tl.grad(program)(tl.Session(dtype="float64").input(x)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_printed(name, capsys):
    f = PROGRAMS[name]()
    for _ in range(2):
        f(X)
        assert capsys.readouterr().out.splitlines() == ONCE


def test_once_for_each_example(capsys):
    def one(x):
        tl.debug.print("a {}", x)
        said("once")
        tl.debug.print("b {}", x)
        return x * x

    found = tl.vmap(tl.grad(one))(X[:2])
    assert found.tolist() == [2.0, 4.0]
    assert capsys.readouterr().out.splitlines() == ["a 1.0", "a 2.0", "once", "b 1.0", "b 2.0"]


def test_values_are_the_same():
    quiet = lambda x: tl.sum(tl.sin(tl.scan(lambda c, w: (c * w, None), x, np.array([1.0, 2.0]))[0]))  # noqa: E731
    for derive in (tl.grad, tl.hessian, lambda f: lambda x: tl.vmap(tl.grad(f))(tl.stack([x, -x]))):
        np.testing.assert_array_equal(derive(program)(X), derive(quiet)(X))


def test_callbacks():
    seen = []

    def watch(x, what, scale):
        assert not x.flags.writeable
        seen.append((what, x.tolist(), scale))

    def body(i, c):
        tl.debug.callback(watch, c, "c", scale=2)
        return c + 1.0

    assert tl.jit(lambda x: tl.fori_loop(0, 3, body, x))(np.array(0.0)).item() == 3.0
    assert seen == [("c", 0.0, 2), ("c", 1.0, 2), ("c", 2.0, 2)]

    def broken(x):
        raise ZeroDivisionError("inside")

    with pytest.raises(ZeroDivisionError, match="inside"):
        tl.jit(lambda x: (tl.debug.callback(broken, x), x)[1])(X)


def line_of(comment):
    rows = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(k for k, row in enumerate(rows, 1) if row.endswith(comment))


def test_errors_name_the_line_that_recorded_the_op():
    def looked_up(x, i):
        return x[i]  # the place

    def f(x, i, j):
        return tl.sum(tl.take(x, j, axis=0)) + tl.sum(looked_up(x, i))

    good, bad = np.array([0, 2]), np.array([0, 5])
    for g in (tl.jit(f), tl.grad(f), tl.compile_out(f, [(3,), tl.Spec((2,), "int64"), tl.Spec((2,), "int64")])):
        g(X.astype("float32"), good, good)
        with pytest.raises(tl.IndexRangeError, match=rf"out of range, got .* \(.*test_debug.py:{line_of('# the place')}\)$"):
            g(X.astype("float32"), bad, good)


def test_numbers_that_are_not_finite_are_found():
    def f(x):
        y = tl.log(x)
        tl.debug.check_finite(x, y, name=None)  # this line
        return tl.sum(y)

    line = line_of("# this line")
    message = rf"argument 1 must be finite, got 1 of 2 numbers that are not, the first -inf at \(1,\) \(.*test_debug.py:{line}\)"
    for g in (f, tl.jit(f), tl.grad(f), lambda x: f(tl.TapeM().leaf(x))):
        g(np.array([1.0, 2.0]))
        with pytest.raises(tl.NumericsError, match=message), np.errstate(all="ignore"):
            g(np.array([1.0, 0.0]))


def test_what_does_not_fit_is_named():
    with pytest.raises(tl.OptionError, match="fmt must be a string"):
        tl.debug.print(X)
    with pytest.raises(tl.OptionError, match="f must be a function"):
        tl.debug.callback(X)
