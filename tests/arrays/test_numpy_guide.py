"""NumPy's user guide, topic by topic, on five kinds of value: as NumPy, gradients too, or an error of the library; nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy_guide import GUIDE
from numpy_options import FURTHER, OPTIONS
from numpy_results import contains_reference, evaluated, plain, same

import tlean as tl
from tlean._core.refs import RefBase

TOPICS = {**GUIDE, "options": OPTIONS, "further": FURTHER}
RNG = np.random.default_rng(3)
ROOT = RNG.standard_normal((3, 3))
ARRAYS = {
    "a": RNG.standard_normal((3, 4)),
    "b": np.copysign(RNG.random((3, 4)) + 0.5, RNG.standard_normal((3, 4))),
    "q": RNG.random((3, 4)) + 0.5,
    "m": ROOT @ ROOT.T + np.eye(3),
    "v": RNG.standard_normal(4),
    "w": RNG.standard_normal(4),
    "s": np.array(0.75),
    "n": np.arange(12).reshape(3, 4),
    "i": np.array([2, 0, 1]),
    "j": np.array([3, 1, 0]),
    "t": RNG.random((3, 4)) < 0.5,
}
FLOATS = [name for name, array in ARRAYS.items() if array.dtype == np.float64]
#: `/` and `mean` of integers have the float dtype of a program: docs/arrays.md.
OTHER_DTYPE = {("n / 2", "array"), ("t.mean()", "array"), ("n.mean(axis=0)", "array")}


def references(result: Any) -> Iterator[RefBase]:
    if isinstance(result, RefBase):
        yield result
    elif isinstance(result, list | tuple):
        for part in result:
            yield from references(part)


def of_leaves(make: Callable[[], Any]) -> Callable[[str], Any]:
    # Floats are leaves, integers and Booleans as they are.
    def run(expression: str) -> Any:
        ops = make()
        leaf = getattr(ops, "input", None) or ops.leaf
        values = {k: leaf(a) if k in FLOATS else ops.add_leaf(tl.AnyTensor(a)) for k, a in ARRAYS.items()}
        return plain(evaluated(expression, values))

    return run


def in_arrays(expression: str) -> Any:
    return plain(evaluated(expression, {k: tl.AnyTensor(a) for k, a in ARRAYS.items()}))


def in_jit(expression: str) -> Any:
    results: list[Any] = []

    def program(*arrays: Any) -> Any:
        results[:] = [evaluated(expression, dict(zip(ARRAYS, arrays, strict=True)))]
        return results[0] if contains_reference(results[0]) else arrays[0] * 1

    outputs = tl.jit(program)(*ARRAYS.values())
    return plain(outputs if contains_reference(results[0]) else results[0])


def floats_of(result: Any) -> Iterator[np.ndarray]:
    if isinstance(result, list | tuple):
        for part in result:
            yield from floats_of(part)
    elif getattr(result, "dtype", None) == np.float64:
        yield np.asarray(result)


def total(ops: Any, parts: Any) -> Any:
    # A scalar that every element of several arrays moves.
    return sum(ops.sum(ops.sin(y + 0.3 * k)) for k, y in enumerate(parts))


def in_gradient(expression: str) -> Any:
    """The value inside of a program that is differentiated; its gradient is checked on the way."""
    results: list[Any] = []

    def program(*arrays: Any) -> Any:
        results[:] = [evaluated(expression, dict(zip(ARRAYS, arrays, strict=True)))]
        loss = total(tl, [y for y in references(results[0]) if y.dtype == "float64"]) + tl.sum(arrays[0]) * 0.0
        return loss, results[0] if contains_reference(results[0]) else arrays[0] * 1

    argnums = tuple(k for k, name in enumerate(ARRAYS) if name in FLOATS)
    (_, outputs), gradient = tl.value_and_grad(program, argnums=argnums, has_aux=True)(*ARRAYS.values())
    rng = np.random.default_rng(9)
    directions = [rng.standard_normal(ARRAYS[k].shape) for k in FLOATS]
    # What takes a symmetric matrix keeps it so.
    symmetric = FLOATS.index("m")
    directions[symmetric] += directions[symmetric].T

    def moved(by: float) -> Any:
        values = {**ARRAYS, **{k: ARRAYS[k] + by * d for k, d in zip(FLOATS, directions, strict=True)}}
        return total(np, floats_of(evaluated(expression, values)))

    if contains_reference(results[0]):
        slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
        back = sum(float(np.sum(np.asarray(g) * d)) for g, d in zip(gradient, directions, strict=True))
        assert back == pytest.approx(slope, rel=1e-6, abs=1e-6), f"{expression}: gradient"
    return plain(outputs if contains_reference(results[0]) else results[0])


KINDS: dict[str, Callable[[str], Any]] = {
    "array": in_arrays,
    "session": of_leaves(lambda: tl.Session(dtype="float64")),
    "tape": of_leaves(lambda: tl.TapeM(dtype="float64")),
    "jit": in_jit,
    "grad": in_gradient,
}


def outcome(expression: str, kind: str) -> str:
    """ "as NumPy", "clear" for an error of the library; else what went wrong."""
    expected = evaluated(expression, ARRAYS)
    try:
        result = KINDS[kind](expression)
    except tl.TleanError:
        return "clear"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if (expression, kind) in OTHER_DTYPE:
        return "as NumPy" if np.allclose(result, expected, rtol=1e-6) else f"{result!r}"
    # A plain number may come in place of an array without axes, but an array has the dtype of NumPy's.
    right = same(result, expected) and not (
        isinstance(expected, np.ndarray | np.generic) and isinstance(result, np.ndarray) and result.dtype != expected.dtype
    )
    return "as NumPy" if right else f"got {result!r}, and NumPy has {expected!r}"


def entries(topic: str) -> list[tuple[str, str]]:
    """A mark and an expression each."""
    return [(line[0], line[2:]) if line[1] == " " and line[0] in "?!" else ("", line) for line in TOPICS[topic].strip().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("topic", TOPICS)
def test_the_guide(topic: str, kind: str) -> None:
    wrong = []
    for mark, expression in entries(topic):
        allowed = {"": {"as NumPy"}, "!": {"as NumPy", "clear"}, "?": {"clear"} if kind in ("jit", "grad") else {"as NumPy"}}[mark]
        result = outcome(expression, kind)
        if result not in allowed:
            wrong.append(f"{expression}: {result}")
    assert not wrong, "\n".join(wrong)


def test_how_many_are_as_numpy() -> None:
    marks = Counter(mark for topic in TOPICS for mark, _ in entries(topic))
    every = [expression for topic in TOPICS for _, expression in entries(topic)]
    # On five kinds of value; those that ask for values have three. docs/arrays.md has the table.
    assert 5 * marks[""] + 3 * marks["?"] >= 0.945 * 5 * len(every)
    assert len(set(every)) == len(every) >= 630


WRONG = {
    "reduceat": lambda a: np.add.reduceat(a, [0, 9]),
    "partition": lambda a: np.partition(a, 9),
    "argpartition": lambda a: np.argpartition(a, 9),
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a, 9),
    "slices": lambda a: np.apply_along_axis(np.sum, 4, a),
    "least squares": lambda a: np.linalg.lstsq(a, a),
    "polyfit": lambda a: np.polyfit(a, a, "x"),
    "ldexp": lambda a: np.ldexp(a, 0.5),
    "gcd": lambda a: np.gcd(a, 2),
    "unravel_index": lambda a: np.unravel_index(a, (2, 2)),
    "ravel_multi_index": lambda a: np.ravel_multi_index((a, a), (2, 2)),
    "allclose": lambda a: np.allclose(a, "x"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_are_errors_of_the_library(name: str) -> None:
    x = np.array([1.0, -2.0, 4.0, 0.0])
    s = tl.Session(dtype="float64")
    for call in (lambda f: f(tl.AnyTensor(x)), lambda f: f(s.leaf(x)), lambda f: tl.jit(lambda a: f(a) * a)(x)):
        with pytest.raises(tl.TleanError):
            call(WRONG[name])
