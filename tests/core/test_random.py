"""Philox4x32-10 against Random123's known answers, and the random ops against the reference definitions and each other."""

import numpy as np
import pytest
from kernel_calls import Call, run_op, usable_instruction_sets

from tlean._core import threads
from tlean.errors import OptionError, ShapeError
from tlean.ops.registry import Spec, get
from tlean.reference.definitions import random as definitions
from tlean.reference.definitions.random import philox4x32, rand_uniform, stream_seed
from tlean.rng import op_seed, uniform

ISAS = usable_instruction_sets("random")
PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)

# Random123's file kat_vectors, the lines of philox4x32 with 10 rounds: counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (PI, (0xA4093822, 0x299F31D0), (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]


def core(isa):
    return __import__(f"tlean._core.isa_{isa}.random", fromlist=["random"])


@pytest.mark.parametrize("counter, key, words", KNOWN_ANSWERS)
def test_known_answers(counter, key, words):
    assert philox4x32(counter, key) == words
    for isa in ISAS:
        assert core(isa).philox_words(key[0] | key[1] << 32, counter) == words


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("seed", [0, 1, -1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("n", [0, 1, 5, 2**32 - 1, 2**32, 2**40 + 3])
def test_stream_seed_is_the_definition(isa, seed, n):
    assert core(isa).stream_seed(seed, n) == stream_seed(seed, n) == op_seed(seed, n)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("suffix, dtype", [("f32", np.float32), ("f64", np.float64)])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 31, 32, 63, 64, 65, 200])
def test_uniform_is_the_definition(isa, suffix, dtype, n):
    for seed in (0, -7, 0x123456789ABCDEF):
        y = run_op(isa, "random", "rand_uniform", suffix, np.int64(seed), shape=(n,))
        np.testing.assert_array_equal(y, rand_uniform(dtype, seed, shape=(n,)))
        again = np.full(n, np.nan, dtype)
        core(isa).fill_uniform(again, seed)
        np.testing.assert_array_equal(again, y)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("suffix, dtype", [("f32", np.float32), ("f64", np.float64)])
def test_distributions_are_the_definitions(isa, suffix, dtype):
    """On every instruction set: normal numbers to rounding, counts and whole numbers exactly."""
    for n in (0, 1, 3, 31, 64, 200):
        seed = 12345 + n
        y = run_op(isa, "random", "_rand_normal", suffix, np.int64(seed), shape=(n,))
        np.testing.assert_allclose(y, definitions.rand_normal(dtype, seed, shape=(n,)), rtol=2e-6 if suffix == "f32" else 1e-14, atol=1e-15)
        a = np.linspace(1.0, 60.0, n).astype(dtype)
        y = run_op(isa, "random", "_rand_log_gamma", suffix, a, np.int64(seed))
        np.testing.assert_allclose(y, definitions.rand_log_gamma(a, seed), rtol=2e-6 if suffix == "f32" else 1e-13, atol=1e-13)
        np.testing.assert_array_equal(run_op(isa, "random", "_rand_poisson", suffix, a, np.int64(seed)), definitions.rand_poisson(a, seed))
        for low, span in ((-5, 11), (-(1 << 62), (1 << 63) - 1), (-(1 << 63), 0)):
            options = {"shape": (n,), "low": low, "span": span}
            y = run_op(isa, "random", "_rand_integers", "i64", np.int64(seed), **options)
            np.testing.assert_array_equal(y, definitions.rand_integers(np.int64, seed, **options))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_arrays_and_threads(isa, dtype):
    suffix = "f32" if dtype == "float32" else "f64"
    want = uniform((50_001,), 42, dtype)
    before = threads.get_num_threads()
    for count in (1, 2):
        threads.set_num_threads(count)
        y = run_op(isa, "random", "rand_uniform", suffix, np.int64(42), shape=(50_001,))
        np.testing.assert_array_equal(y, want)
    threads.set_num_threads(before)
    assert want.min() >= 0.0
    assert want.max() < 1.0
    assert abs(want.mean() - 0.5) < 0.005
    assert abs(want.var() - 1 / 12) < 0.002


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("suffix, dtype", [("f32", "float32"), ("f64", "float64")])
@pytest.mark.parametrize("keep", [0.0, 0.25, 0.7, 1.0])
def test_mask(isa, suffix, dtype, keep):
    y = run_op(isa, "random", "bernoulli_mask", suffix, np.float64(keep), np.int64(3), shape=(37, 11))
    np.testing.assert_array_equal(y, uniform((37, 11), 3, dtype) < np.dtype(dtype).type(keep))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("suffix, dtype", [("f32", "float32"), ("f64", "float64")])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.875])
def test_dropout(isa, suffix, dtype, p):
    x = np.random.default_rng(0).standard_normal((21, 17)).astype(dtype)
    y = run_op(isa, "random", "dropout", suffix, x, np.int64(9), p=p)
    mask = uniform((21, 17), 9, dtype) < np.dtype(dtype).type(1 - p)
    np.testing.assert_allclose(y, x * mask / (1 - p), rtol=3e-7 if suffix == "f32" else 1e-15)
    np.testing.assert_array_equal(run_op(isa, "random", "dropout", suffix, x, np.int64(9), p=p, train=False), x)
    place = Call(isa, "random", "dropout", suffix, (x.copy(), np.int64(9)), p=p)
    place.out_pointers[0] = place.in_pointers[0]
    assert place() == 0
    np.testing.assert_array_equal(place.args[0], y)


def test_options():
    x, seed = Spec((3,)), Spec((), "int64")
    dropout = get("dropout")
    for p in (1.0, -0.5, float("nan")):
        with pytest.raises(OptionError, match=r"p must be in \[0, 1\)"):
            dropout.infer((x, seed), {"p": p})
    assert dropout.infer((x, seed), {"p": 0})[0] == dropout.infer((x, None), {"p": 0.3, "train": False})[0]
    with pytest.raises(ShapeError, match=r"seed must have shape \(\)"):
        dropout.infer((x, Spec((1,), "int64")), {"p": 0.5})
    assert get("rand_uniform").infer((seed,), {"shape": 4}, "float64")[0] == {"shape": (4,), "dtype": "float64"}
