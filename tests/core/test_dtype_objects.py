"""The dtype of an array: equal to NumPy's and to its name, and found by its name."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean.compiler.graph import Graph

ARRAYS: dict[str, Callable[[str], Any]] = {
    "array": lambda dtype: tl.AnyTensor([1], dtype),
    "eager": lambda dtype: tl.TapeM().add_leaf(tl.AnyTensor([1], dtype)),
    "compiled session": lambda dtype: tl.Session(backend="compiled").add_leaf(tl.AnyTensor([1], dtype)),
    "recorded": lambda dtype: Graph().arg(tl.Spec((1,), dtype)),
}


@pytest.mark.parametrize("name", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_it_is_the_dtype_of_numpy(make: Callable[[str], Any], name: str) -> None:
    dtype, expected = make(name).dtype, np.dtype(name)
    other = np.float64 if name != "float64" else np.float32
    assert dtype == name == dtype and dtype == expected == dtype and dtype == expected.type and expected.type == dtype
    assert dtype != other and other != dtype and dtype != "int32" and dtype != None and dtype != 3  # noqa: E711
    assert {name: 1}[dtype] == 1 and dtype in {name} and hash(dtype) == hash(name) and f"{dtype}" == name
    assert (dtype.kind, dtype.itemsize, dtype.name, dtype.type) == (expected.kind, expected.itemsize, name, expected.type)
    assert np.dtype(dtype) is expected and np.zeros(2, dtype).dtype is expected and np.ones(2).astype(dtype).dtype is expected
    assert np.issubdtype(dtype, np.floating) == np.issubdtype(expected, np.floating)
    assert np.result_type(dtype, np.float64) == np.result_type(expected, np.float64)
    for again in (pickle.loads(pickle.dumps(dtype)), copy.deepcopy(dtype)):
        assert again == dtype == expected


def test_keys_do_not_tell_it_from_its_name() -> None:
    x = tl.AnyTensor([1.0], "float64")
    named, of_array = tl.Spec((1,), "float64"), tl.Spec((1,), x.dtype)
    assert named == of_array and len({named, of_array}) == 1 and type(of_array.dtype) is str
    program = tl.jit(lambda ops, x: ops.exp(x))
    for value in (x, x.numpy()):
        program(value)
    for dtype in ("float64", x.dtype, np.dtype("float64")):
        assert tl.AnyTensor([1.0], dtype).dtype == "float64"
