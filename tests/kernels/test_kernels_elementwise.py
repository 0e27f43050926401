"""The elementwise kernels, called directly: values, accumulation, aliasing, block edges, threads, and the accuracy of the vector math."""

import ctypes
import importlib
import math

import numpy as np
import pytest
from kernel_calls import FLOATS, KERNEL, last_cache_bytes, usable_instruction_sets

from tlean._core import threads
from tlean.ops import expression as ex
from tlean.ops.elementwise import FORMULAS, LANES, formula_of_kernel

INNER = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int64, ctypes.POINTER(ctypes.c_double), ctypes.c_int
)
NUMBERS = {
    "rtol": 0.25,
    "atol": 0.1,
    "equal_nan": 1.0,
    "c": 2.5,
    "lo": -0.5,
    "hi": 0.75,
    "slope": 0.01,
    "alpha": 1.5,
    "eps": 1e-6,
    "exact": 0.0,
    "value": 3.0,
    "order": 1.0,
}
ISAS = usable_instruction_sets("elementwise")
SUFFIXES = {"f32": "f", "f64": ""}

#: Formulas of numbers, with the forms on lanes of those of Booleans; and these themselves.
OF_NUMBERS = [n for n, f in (FORMULAS | LANES).items() if f.inputs and f.lanes is None]
OF_BOOLEANS = [n for n, f in FORMULAS.items() if f.lanes is not None]

each_isa = pytest.mark.parametrize("isa", ISAS)
each_dtype = pytest.mark.parametrize("dtype", FLOATS)


def module(isa):
    return importlib.import_module(f"tlean._core.isa_{isa}.elementwise")


def pointers(arrays):
    return (ctypes.c_void_p * max(len(arrays), 1))(*(a.ctypes.data for a in arrays))


def doubles(numbers):
    return (ctypes.c_double * max(len(numbers), 1))(*numbers)


def call(isa, key, inputs, floats=(), out=None, accumulate=0):
    """Run one kernel on equally long arrays; `out` is overwritten or added to."""
    out = np.full_like(inputs[0], 9) if out is None else out
    code = KERNEL(module(isa).KERNELS[key])(pointers([out]), pointers(inputs), (ctypes.c_int64 * 1)(out.size), doubles(floats), accumulate)
    assert code == 0
    return out


def case(name, dtype, n):
    formula = formula_of_kernel(name)
    rng = np.random.default_rng(n)
    inputs = [rng.normal(size=n).astype(FLOATS[dtype]) for _ in formula.inputs]
    if name in OF_BOOLEANS or name in LANES:
        # Equal numbers, zeros and NaN among them; Booleans are bytes.
        inputs = [np.where(rng.random(n) < 0.1, np.nan, np.round(x)).astype(x.dtype) for x in inputs]
        inputs = [x > 0 if i in formula.booleans else x for i, x in zip(formula.inputs, inputs, strict=True)]
    return f"{name}:{dtype}", inputs, [NUMBERS.get(p, 0.75) for p in formula.parameters]


@each_isa
@each_dtype
@pytest.mark.parametrize("name", OF_NUMBERS)
def test_value_store_accumulate_alias(isa, dtype, name):
    formula = formula_of_kernel(name)
    for n in (0, 1, 7, 67):
        key, inputs, floats = case(name, dtype, n)
        out = call(isa, key, inputs, floats)
        numbers = dict(zip(formula.parameters, floats, strict=True))
        rows = zip(*inputs, strict=True)
        want = [ex.evaluate(formula.tree, {**numbers, **dict(zip(formula.inputs, map(float, row), strict=True))}) for row in rows]
        tolerance = 2e-6 if dtype == "f32" else 4e-15
        np.testing.assert_allclose(out, want, rtol=tolerance, atol=tolerance)
        # Accumulation is the complete value, added once.
        start = np.linspace(-2, 2, n, dtype=FLOATS[dtype])
        assert np.array_equal(call(isa, key, inputs, floats, start.copy(), 1), start + out, equal_nan=True)
        for k in range(len(inputs)):
            overwritten = [x.copy() for x in inputs]
            assert np.array_equal(call(isa, key, overwritten, floats, overwritten[k]), out, equal_nan=True)


@each_isa
@each_dtype
@pytest.mark.parametrize("name", OF_BOOLEANS)
def test_booleans(isa, dtype, name):
    """Kernels with bytes among their operands: the form on lanes, in chunks too."""
    formula = FORMULAS[name]
    alone = formula.booleans == set(formula.inputs)
    for n in (0, 1, 7, 67, 3 * 16384 + 5):
        key, inputs, floats = case(name, dtype, n)
        out = np.full(n, 9, np.uint8 if formula.condition else FLOATS[dtype])
        call(isa, f"{name}:b8" if alone else key, inputs, floats, out)
        want = call(isa, f"{name}_lanes:{dtype}", [x.astype(FLOATS[dtype]) for x in inputs], floats)
        assert np.array_equal(out.astype(FLOATS[dtype]), want, equal_nan=True)
        if not formula.condition:
            start = np.linspace(-2, 2, n, dtype=FLOATS[dtype])
            assert np.array_equal(call(isa, key, inputs, floats, start.copy(), 1), start + out, equal_nan=True)


@each_isa
@each_dtype
@pytest.mark.parametrize("name", OF_NUMBERS)
def test_bits_depend_on_the_element_alone(isa, dtype, name):
    # Not on its place in a vector or block, nor on the number of threads.
    key, inputs, floats = case(name, dtype, 3 * 16384 + 5)
    out = call(isa, key, inputs, floats)
    assert np.array_equal(call(isa, key, [np.ascontiguousarray(x[3:]) for x in inputs], floats), out[3:], equal_nan=True)
    before = threads.get_num_threads()
    try:
        for count in (1, 2):
            threads.set_num_threads(count)
            assert np.array_equal(call(isa, key, inputs, floats), out, equal_nan=True)
    finally:
        threads.set_num_threads(before)
    block = np.empty(100, FLOATS[dtype])
    INNER(module(isa).INNER[key])(block.ctypes.data, pointers([x[50:] for x in inputs]), 100, doubles(floats), 0)
    assert np.array_equal(block, out[50:150], equal_nan=True)


@each_isa
@each_dtype
def test_bits_of_an_output_that_passes_the_caches(isa, dtype):
    # Arrays beyond the last-level cache are written by streaming stores; their last lines are not whole.
    n = min(last_cache_bytes(), 1 << 26) // (2 * np.dtype(FLOATS[dtype]).itemsize) + 12345
    x = np.resize(np.linspace(-3, 3, 1013).astype(FLOATS[dtype]), n)
    out = call(isa, f"square:{dtype}", [x], out=aligned(n, FLOATS[dtype]))
    assert np.array_equal(out, call(isa, f"square:{dtype}", [x], out=aligned(n + 1, FLOATS[dtype])[1:]))
    assert np.array_equal(out, np.resize(call(isa, f"square:{dtype}", [x[:1013]]), n))
    in_place = x.copy()
    assert np.array_equal(call(isa, f"square:{dtype}", [in_place], out=in_place), out)


def aligned(n, dtype):
    """n elements from the start of a cache line."""
    room = np.empty(n * np.dtype(dtype).itemsize + 64, np.uint8)
    first = -room.ctypes.data % 64
    return room[first : first + n * np.dtype(dtype).itemsize].view(dtype)


@each_isa
@each_dtype
@pytest.mark.parametrize("name", ["where", "_where_grad_a", "_where_grad_b", "_relu_grad", "_clamp_grad"])
def test_what_a_select_takes_keeps_its_bits(isa, dtype, name):
    # Some instruction sets add nothing to it on the way (TL_PLAINLY).
    every = np.array([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, 1e-45, -5e-324] * 8, FLOATS[dtype])
    inside = {"where": 1.0, "_where_grad_a": 1.0, "_where_grad_b": 0.0, "_relu_grad": 1.0, "_clamp_grad": 0.1}[name]
    chosen = np.full(every.shape, inside, bool if "where" in name else every.dtype)
    inputs = [chosen, every, every[::-1].copy()] if name == "where" else [every, chosen]
    out = call(isa, f"{name}:{dtype}", inputs, [NUMBERS.get(p, 0.75) for p in FORMULAS[name].parameters], np.empty_like(every))
    word = np.uint32 if dtype == "f32" else np.uint64
    assert np.array_equal(out.view(word), every.view(word))


@each_isa
def test_whole_vectors_have_the_bits_of_formulas_that_call_the_function(isa):
    # exp, sigmoid and log of float64 have separate loops (simd/lanes_f64.h); other formulas call the functions of one element.
    x, ones = arguments("f64"), np.ones(arguments("f64").size)
    exp, sigmoid, log = (call(isa, f"{name}:f64", [x]) for name in ("exp", "sigmoid", "log"))
    with np.errstate(all="ignore"):
        pairs = [(exp, call(isa, "_expm1_grad:f64", [ones, x])), (x * sigmoid, call(isa, "silu:f64", [x]))]
    pairs.append((log[x >= 0], call(isa, "safe_log:f64", [x], [0.0])[x >= 0]))
    for whole, one in pairs:
        number = ~np.isnan(one)
        assert np.array_equal(np.isnan(whole), ~number)
        assert np.array_equal(whole[number].view(np.uint64), one[number].view(np.uint64))


@each_isa
@each_dtype
def test_constant_and_accumulate(isa, dtype):
    x = np.arange(9, dtype=FLOATS[dtype])
    assert np.array_equal(call(isa, f"_full:{dtype}", [x], [2.5], np.empty_like(x)), np.full(9, 2.5))
    assert np.array_equal(call(isa, f"accumulate:{dtype}", [x], out=np.ones_like(x)), 1 + x)
    assert "accumulate" in module(isa).ACCUMULATES


def arguments(dtype):
    """Floats of every magnitude, and the ordinary ones densely."""
    rng = np.random.default_rng(0)
    if dtype == "f32":
        every = np.arange(0, 2**32, 160001, dtype=np.uint64).astype(np.uint32).view(np.float32)
    else:
        every = rng.integers(-(2**63), 2**63 - 1, 30_000).view(np.float64)
    near = [rng.normal(size=20_000) * 3, rng.uniform(-90, 90, 20_000), 1 + rng.normal(size=10_000) * 1e-3, rng.uniform(-1, 1, 20_000)]
    edges = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 88.72, -87.4, -103.9, 709.7, -708.5, -745.1, 1e6, 5e-324, 1e-45]
    return np.concatenate([every, *[x.astype(FLOATS[dtype]) for x in near], np.array(edges, FLOATS[dtype])])


def units_in_the_last_place(got, want, dtype):
    """|got − want| in units of the last place of the rounded result; 0 where both are the same infinity or NaN."""
    rounded = want.astype(FLOATS[dtype])
    special = ~np.isfinite(rounded)
    # Within half a unit of the largest number, either side of overflow will do.
    edge = np.isinf(got) & (np.abs(want) > np.finfo(FLOATS[dtype]).max * (1 - 1e-6))
    assert np.array_equal(got[special & ~edge], rounded[special & ~edge], equal_nan=True)
    good = ~special & ~edge
    return (np.abs(got[good].astype(want.dtype) - want[good]) / np.spacing(np.abs(rounded[good]))).max()


def sigmoid(x):
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x)))


REFERENCES = {
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "tanh": np.tanh, "sigmoid": sigmoid, "sin": np.sin, "cos": np.cos,
    "erf": np.vectorize(lambda x: math.erf(x), otypes=[np.longdouble]),
}  # fmt: skip


@each_isa
@each_dtype
@pytest.mark.parametrize("name", REFERENCES)
def test_vector_math_is_within_two_and_a_half_units(isa, dtype, name):
    wide = np.float64 if dtype == "f32" else np.longdouble
    if np.finfo(wide).eps >= np.finfo(FLOATS[dtype]).eps:
        pytest.skip("no wider type to compare with")
    x = arguments(dtype)
    got = call(isa, f"{name}:{dtype}", [x])
    with np.errstate(all="ignore"):
        assert units_in_the_last_place(got, REFERENCES[name](x.astype(wide)), dtype) < 2.5
    zero = np.array([0.0, -0.0], FLOATS[dtype])
    if name in ("log1p", "expm1", "tanh", "sin", "erf"):
        assert np.array_equal(np.signbit(call(isa, f"{name}:{dtype}", [zero])), [False, True])


@each_isa
@each_dtype
@pytest.mark.parametrize("c", [2.5, 0.5, -1.5, 7.0, 8.0, -5.0, 0.001, 100.25, 1.0, 2.0, 0.0, np.inf, -np.inf, np.nan])
def test_powers(isa, dtype, c):
    x = arguments(dtype)
    got = call(isa, f"pow:{dtype}", [x], [c])
    with np.errstate(all="ignore"):
        wide = np.float64 if dtype == "f32" else np.longdouble
        want = np.sqrt(x.astype(wide)) if c == 0.5 else np.power(x.astype(wide), np.full(x.shape, FLOATS[dtype](c), wide))
        limit = 2.5 if np.finfo(wide).eps < np.finfo(FLOATS[dtype]).eps else 4
        assert units_in_the_last_place(got, want, dtype) < limit


@each_isa
@each_dtype
def test_sine_of_huge_arguments(isa, dtype):
    # One of them in a block sends the block the slow way; its neighbours keep their bits.
    x = np.linspace(-3, 3, 600).astype(FLOATS[dtype])
    plain = call(isa, f"sin:{dtype}", [x])
    x[300], x[301] = 1e22, np.inf
    mixed = call(isa, f"sin:{dtype}", [x])
    assert mixed[300] == pytest.approx(math.sin(float(x[300])), rel=1e-6) and np.isnan(mixed[301])
    assert np.array_equal(np.delete(mixed, [300, 301]), np.delete(plain, [300, 301]))
