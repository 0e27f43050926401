"""The accuracy of the float32 vector math, at every instruction set: at most two units in the last place, over all 2³² arguments.

A usual run takes every 1,009th bit pattern. TLEAN_EVERY_FLOAT=1 takes them all, for some forty minutes.
"""

import ctypes
import importlib
import os

import numpy as np
import pytest
from kernel_calls import KERNEL, usable_instruction_sets

ISAS = usable_instruction_sets("elementwise")
STRIDE = 1 if os.environ.get("TLEAN_EVERY_FLOAT") == "1" else 1009
CHUNK = 1 << 16
LARGEST = float(np.finfo(np.float32).max)


def kernel(isa, key):
    """The kernel as a function of one array."""
    function = KERNEL(importlib.import_module(f"tlean._core.isa_{isa}.elementwise").KERNELS[key])

    def call(x):
        y = np.empty_like(x)
        out, inp = (ctypes.c_void_p * 1)(y.ctypes.data), (ctypes.c_void_p * 1)(x.ctypes.data)
        assert function(out, inp, (ctypes.c_int64 * 1)(x.size), (ctypes.c_double * 1)(), 0) == 0
        return y

    return call


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


# In float64, whose own errors are 2⁻²⁸ of a float32 unit. NumPy has no erf: tlean's in float64, which test_kernels_elementwise compares
# with the C library's.
REFERENCES = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sigmoid": sigmoid, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "erf": kernel(ISAS[0], "erf:f64"),
}  # fmt: skip


def arguments():
    """Bit patterns of every kind, a chunk at a time."""
    for first in range(0, 2**32, CHUNK * STRIDE):
        bits = np.arange(first, min(first + CHUNK * STRIDE, 2**32), STRIDE, dtype=np.uint64)
        yield bits.astype(np.uint32).view(np.float32)


def units(got, want):
    """The greatest |got − want| in units of the last place of a float32 as large as `want`. NaN stands for NaN alone."""
    wide = got.astype(np.float64)
    # Where the exact value rounds to an infinity or nearly so, the largest number and the infinity are neighbours.
    beyond = LARGEST * (1 + 2.0**-24)
    wide, want = np.clip(wide, -beyond, beyond), np.clip(want, -beyond, beyond)
    power = np.maximum(want.view(np.int64) & 0x7FF0000000000000, (1023 - 126) << 52).view(np.float64)
    error = np.abs(wide - want) / (power * 2.0**-23)
    assert np.array_equal(np.isnan(wide), np.isnan(want))
    return np.nanmax(error, initial=0)


@pytest.mark.parametrize("name", REFERENCES)
def test_two_units_in_the_last_place(name):
    kernels = {isa: kernel(isa, f"{name}:f32") for isa in ISAS}
    worst = dict.fromkeys(ISAS, (0.0, 0.0))
    with np.errstate(all="ignore"):
        for x in arguments():
            want = REFERENCES[name](x.astype(np.float64))
            for isa, function in kernels.items():
                found = units(function(x), want)
                if found > worst[isa][0]:
                    error = np.abs(function(x).astype(np.float64) - want)
                    worst[isa] = (float(found), float(x[np.nanargmax(error / np.spacing(np.abs(want.astype(np.float32))))]))
    print(name, worst)
    assert all(error <= 2 for error, _ in worst.values()), worst
