"""A list of NumPy's expressions on five kinds of value: the same results, or an error that is clear; nothing silently different."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy_expressions import AS_NUMPY, AS_NUMPY_OR_CLEAR, OF_VALUES
from numpy_results import contains_reference, evaluated, plain, same

import tlean as tl

ARRAYS = {
    "x": np.array([[0.5, -1.25, 2.0], [3.5, 0.25, -0.75]]),
    "p": np.array([[0.5, 1.25, 2.0], [3.5, 0.25, 0.75]]),
    "m": np.array([[2.0, 0.5, 0.25], [0.5, 3.0, -0.5], [0.25, -0.5, 1.5]]),
    "v": np.array([0.5, 2.0, -1.5]),
    "w": np.array([1.5, -0.5, 0.75]),
    "s": np.array(0.75),
}
#: Backends that run ops at once; `jit` is the fifth kind.
KINDS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "tape": lambda: tl.TapeM(dtype="float64").leaf,
    "session": lambda: tl.Session(dtype="float64").input,
    "compiled session": lambda: tl.Session(dtype="float64", backend="compiled").input,
    "array": lambda: tl.AnyTensor,
    "jit": lambda: tl.AnyTensor,
}


def inside_jit(expression: str) -> Any:
    # References come out of the program; what is none is there when it has been recorded.
    found: list[Any] = []

    def program(ops: Any, *arrays: Any) -> Any:
        found[:] = [evaluated(expression, dict(zip(ARRAYS, arrays, strict=True)))]
        return found[0] if contains_reference(found[0]) else arrays[0]

    outputs = tl.jit(program)(*ARRAYS.values())
    return plain(outputs) if contains_reference(found[0]) else plain(found[0])


def outcome(expression: str, kind: str) -> Any:
    """The result, or the exception."""
    try:
        if kind == "jit":
            return inside_jit(expression)
        make = KINDS[kind]()
        return plain(evaluated(expression, {name: make(a) for name, a in ARRAYS.items()}))
    except Exception as error:
        return error


def expected_of(expression: str, arrays: dict[str, Any] = ARRAYS) -> Any:
    try:
        return evaluated(expression, arrays)
    except Exception as error:
        # Of an array without axes NumPy has no `round` and no `trunc`; of its scalars it has.
        return error if arrays is not ARRAYS else expected_of(expression, ARRAYS | {"s": np.float64(0.75)})


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@pytest.mark.parametrize("expression", lines(AS_NUMPY))
def test_as_numpy(expression: str, kind: str) -> None:
    result, expected = outcome(expression, kind), expected_of(expression)
    assert not isinstance(expected, Exception)
    assert same(result, expected), f"{expression}: NumPy has {expected!r}, got {type(result).__name__}: {result}"


@every_kind
@pytest.mark.parametrize("expression", lines(OF_VALUES))
def test_of_values(expression: str, kind: str) -> None:
    result, expected = outcome(expression, kind), expected_of(expression)
    if kind == "jit":
        assert isinstance(result, tl.TleanError), f"{expression}: a value that is not there yet, got {result!r}"
    else:
        assert same(result, expected), f"{expression}: NumPy has {expected!r}, got {type(result).__name__}: {result}"


@every_kind
@pytest.mark.parametrize("expression", lines(AS_NUMPY_OR_CLEAR))
def test_as_numpy_or_clear(expression: str, kind: str) -> None:
    result, expected = outcome(expression, kind), expected_of(expression)
    if isinstance(result, Exception):
        # What NumPy refuses too may be refused by Python itself.
        clear = isinstance(result, tl.TleanError) or isinstance(expected, Exception)
        assert clear, f"{expression}: {type(result).__name__}: {result}"
    else:
        assert same(result, expected), f"{expression}: NumPy has {expected!r}, got {result!r}"


def test_the_list_is_long() -> None:
    every = [*lines(AS_NUMPY), *lines(OF_VALUES), *lines(AS_NUMPY_OR_CLEAR)]
    assert len(every) == len(set(every)) >= 300
