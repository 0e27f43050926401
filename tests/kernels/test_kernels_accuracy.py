"""The accuracy of the float32 vector math, at every instruction set: at most two units in the last place.

Here every 1,009th of the 2³² arguments is tried. `make accuracy` tries them all, and writes what it finds into benchmarks/ACCURACY.md.
"""

import ctypes
import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_calls import KERNEL, usable_instruction_sets

ISAS = usable_instruction_sets("elementwise")
STRIDE = 1009
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
    """The greatest |got − want| in units of the last place of a float32 as large as `want`. NaN equals NaN alone."""
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


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("ci_accuracy", Path(__file__).parents[2] / "tools" / "kernels" / "accuracy.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_functions_without_an_op(tool, tmp_path):
    # Those that formulas alone call: compiled from the header.
    if tool.compiler() is None:
        pytest.skip("no compiler")
    common, sets = tool.flags()
    program = tool.build(tmp_path, common, sets)
    worst = tool.measure(program, ["sigmoid2", "normal_cdf"], STRIDE, pieces=2, say=False)
    assert all(0.5 < error <= tool.LIMIT for found in worst.values() for error, _ in found), worst


@pytest.mark.parametrize("isa", ISAS)
def test_normal_distribution_function_stays_between_0_and_1(isa):
    exact = (ctypes.c_double * 1)(1.0)
    function = KERNEL(importlib.import_module(f"tlean._core.isa_{isa}.elementwise").KERNELS["gelu:f32"])
    x = np.concatenate([np.linspace(0, 7, 1 << 20), [1e10, LARGEST]]).astype(np.float32)
    for argument in (x, -x):
        y = np.empty_like(argument)
        out, inp = (ctypes.c_void_p * 1)(y.ctypes.data), (ctypes.c_void_p * 1)(argument.ctypes.data)
        assert function(out, inp, (ctypes.c_int64 * 1)(x.size), exact, 0) == 0
        assert np.all(np.abs(y) <= x) and np.all((y == 0) | (np.signbit(y) == np.signbit(argument)))
        far = x > 5.55
        assert np.array_equal(y[far], np.maximum(argument[far], 0))


def test_the_page_has_every_function(tool):
    rows = tool.rows_of(tool.PAGE)
    source = (tool.ROOT / "tools" / "kernels" / "accuracy.c").read_text()
    names = [line.split("(")[1].split(",")[0] for line in source.splitlines() if line.startswith("    F(")]
    assert list(rows) == names and set(REFERENCES) < set(names)
    assert all(float(cell.split(" at ")[0]) <= tool.LIMIT for row in rows.values() for cell in row.split("|")[2:-1])
