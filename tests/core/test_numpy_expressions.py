"""A list of NumPy's expressions on five kinds of value: the same results, or an error that is clear; nothing silently different."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy_expressions import AS_NUMPY, AS_NUMPY_OR_CLEAR, OF_VALUES

import tlean as tl
from tlean._core.refs import RefBase

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


def evaluated(expression: str, values: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(expression, {"np": np, "math": math, **values})


def plain(result: Any) -> Any:
    # A result with arrays of NumPy in place of the library's.
    if isinstance(result, RefBase | tl.AnyTensor):
        return np.asarray(result)
    return [plain(r) for r in result] if isinstance(result, list | tuple) else result


def inside_jit(expression: str) -> Any:
    # References come out of the program; what is none is there when it has been recorded.
    found: list[Any] = []

    def program(ops: Any, *arrays: Any) -> Any:
        found[:] = [evaluated(expression, dict(zip(ARRAYS, arrays, strict=True)))]
        return found[0] if contains_reference(found[0]) else arrays[0]

    outputs = tl.jit(program)(*ARRAYS.values())
    return plain(outputs) if contains_reference(found[0]) else plain(found[0])


def contains_reference(result: Any) -> bool:
    return isinstance(result, RefBase) or (isinstance(result, list | tuple) and any(map(contains_reference, result)))


def outcome(expression: str, kind: str) -> Any:
    """The result, or the exception."""
    try:
        if kind == "jit":
            return inside_jit(expression)
        make = KINDS[kind]()
        return plain(evaluated(expression, {name: make(a) for name, a in ARRAYS.items()}))
    except Exception as error:
        return error


def same(result: Any, expected: Any) -> bool:
    if isinstance(expected, list | tuple):
        return isinstance(result, list | tuple) and len(result) == len(expected) and all(map(same, result, expected))
    if isinstance(expected, str):
        return result == expected
    if not isinstance(result, np.ndarray | np.generic | int | float | complex | bool):
        return False
    return np.shape(result) == np.shape(expected) and np.allclose(result, expected, rtol=1e-12, atol=1e-14, equal_nan=True)


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
