"""Kernels that make arrays of numbers alone, on every instruction set, against NumPy."""

from __future__ import annotations

import ctypes
import importlib

import numpy as np
import pytest
from kernel_calls import KERNEL, usable_instruction_sets

from tlean.dtypes import SUFFIX
from tlean.ops import get

ISAS = usable_instruction_sets("create")


def made(isa, name, dtype, size, **options):
    record = get(name)
    clean, _ = record.infer((), {**options, "dtype": dtype})
    ints, floats = record.kernel_params((), clean)
    out = np.full(size, 77).astype(dtype)
    function = KERNEL(importlib.import_module(f"tlean._core.isa_{isa}.create").KERNELS[f"{record.kernel}:{SUFFIX[dtype]}"])
    pointers, none = (ctypes.c_void_p * 1)(out.ctypes.data), (ctypes.c_void_p * 1)()
    assert function(pointers, none, (ctypes.c_int64 * 3)(*ints), (ctypes.c_double * 3)(*floats), 0) == 0
    return out


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("n", [0, 1, 7, 16_384, 16_385, 100_003])
def test_ranges(isa, n):
    for dtype in ("int64", "int32"):
        start, step = (1 << 62, 1 << 58) if dtype == "int64" else (1 << 30, 1 << 27)
        expected = np.arange(n, dtype=np.uint64) * np.uint64(step) + np.uint64(start)
        assert np.array_equal(made(isa, "_iota", dtype, (n,), length=n, start=start, step=step), expected.astype(dtype))
    for dtype in ("float32", "float64"):
        expected = (np.arange(n) * 0.1 + 0.3).astype(dtype)
        assert made(isa, "_iota", dtype, (n,), length=n, start=0.3, step=0.1).tobytes() == expected.tobytes()
        if n:
            expected[-1] = 7
        assert made(isa, "_iota", dtype, (n,), length=n, start=0.3, step=0.1, last=7).tobytes() == expected.tobytes()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", SUFFIX)
def test_diagonals_and_constants(isa, dtype):
    for rows, columns, offset in ((3, 5, 1), (130, 129, -4), (2, 20_000, 19_999), (20_000, 2, -19_999), (0, 3, 0), (3, 0, 0), (4, 4, 9)):
        found = made(isa, "_eye", dtype, (rows, columns), rows=rows, columns=columns, offset=offset)
        assert np.array_equal(found, np.eye(rows, columns, offset, dtype))
    if not dtype.startswith("float"):
        value = {"int64": (1 << 53) + 1, "int32": -7, "bool": 5}[dtype]
        assert np.array_equal(made(isa, "_full", dtype, (40_000,), shape=(40_000,), value=value), np.full(40_000, value, dtype))
