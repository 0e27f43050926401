"""The accuracy of the functions of `formulas/vocabulary.py`, both dtypes, at every instruction set: at most four units in the last place.

mpmath computes what they are compared with, at drawn arguments of every magnitude and at the neighbours of the points where a kernel goes
from one method to another. TLEAN_ACCURACY_DRAWS says how many are drawn of each; a long run takes 10,000,000.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from kernel_calls import FLOATS, usable_instruction_sets
from test_kernels_elementwise import call

mp = pytest.importorskip("mpmath", reason="the reference is mpmath's")

DRAWS = int(os.environ.get("TLEAN_ACCURACY_DRAWS", "200"))
ISAS = usable_instruction_sets("elementwise")
#: Where some function changes its method, or its sign.
POINTS = (
    0.0, 0.35, 0.41421356237309503, 0.425, 0.5, 0.7, 0.75, 0.925, 1.0, 1.35, 1.4616321449683622, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0, 10.0, 26.5,
    1e100, 2.0**54,
)  # fmt: skip


def _log_ndtr(x):
    return mp.log1p(-mp.ncdf(-x)) if x > 0 else mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)


def _quantile(p):
    # By Newton's method on the logarithm of the lower tail, from the asymptotic value.
    if p > 0.5:
        return -_quantile(1 - p)
    if p == 0.5:
        return mp.mpf(0)
    x = -mp.sqrt(-2 * mp.log(p)) if p < 0.02 else (p - 0.5) * 2.5
    for _ in range(100):
        below = mp.ncdf(x)
        step = mp.log(below / p) * below / mp.npdf(x)
        x -= step
        if abs(step) <= mp.mpf(2) ** -90 * abs(x):
            break
    return x


def _erfcx(x):
    return mp.exp(x * x) * mp.erfc(x)


def _real_lgamma(x):
    return mp.inf if x <= 0 and x == mp.floor(x) else mp.log(abs(mp.gamma(x))) if x < 1e4 else mp.re(mp.loggamma(x))


#: Name -> (the function in mpmath, the least argument, the greatest).
FUNCTIONS = {
    "cbrt": (lambda x: mp.sign(x) * mp.cbrt(abs(x)), -1e300, 1e300),
    "exp2": (lambda x: mp.power(2, x), -1000, 1000),
    "log2": (lambda x: mp.log(x, 2), 1e-300, 1e300),
    "log10": (mp.log10, 1e-300, 1e300),
    "tan": (mp.tan, -1e6, 1e6),
    "asin": (mp.asin, -1, 1),
    "acos": (mp.acos, -1, 1),
    "atan": (mp.atan, -1e300, 1e300),
    "sinh": (mp.sinh, -700, 700),
    "cosh": (mp.cosh, -700, 700),
    "tanh": (mp.tanh, -1e300, 1e300),
    "asinh": (mp.asinh, -1e300, 1e300),
    "acosh": (mp.acosh, 1, 1e300),
    "atanh": (mp.atanh, -0.9999999, 0.9999999),
    "erfc": (mp.erfc, -6, 26),
    "erfcx": (_erfcx, -26, 100),
    "erfinv": (mp.erfinv, -0.9999999, 0.9999999),
    "ndtr": (mp.ncdf, -37, 8),
    "log_ndtr": (_log_ndtr, -1000, 37),
    "ndtri": (_quantile, 1e-300, 0.9999999),
    "lgamma": (_real_lgamma, -30, 1e6),
    "digamma": (mp.digamma, 1e-300, 1e6),
}
#: Narrower where float32 ends earlier.
NARROW = {"float32": (-1e30, 1e30), "float64": (-1e300, 1e300)}


def arguments(low: float, high: float, dtype: type) -> np.ndarray:
    """Drawn ones, uniform and of every magnitude, and the neighbours of the points."""
    least, greatest = NARROW[np.dtype(dtype).name]
    low, high = max(low, least), min(high, greatest)
    if low == 1e-300 and dtype == np.float32:
        low = 1e-30
    rng = np.random.default_rng(1)
    most = 300 if dtype == np.float64 else 30
    drawn = [
        rng.uniform(max(low, -20), min(high, 20), DRAWS),
        10.0 ** rng.uniform(-most, most, DRAWS // 2) * rng.choice([-1, 1], DRAWS // 2),
        1 - 10.0 ** rng.uniform(-14, 0, DRAWS // 4),
    ]
    points = np.array([s * p for p in POINTS for s in (1, -1) if p < greatest], dtype)
    near = [points]
    for away in (np.inf, -np.inf):
        side = points
        for _ in range(2):
            side = np.nextafter(side, dtype(away))
            near.append(side)
    with np.errstate(over="ignore"):
        x = np.concatenate([*(d.astype(dtype) for d in drawn), *near])
    return x[(x >= low) & (x <= high)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_four_units_in_the_last_place(name, dtype):
    function, low, high = FUNCTIONS[name]
    real = FLOATS[dtype]
    x = arguments(low, high, real)
    tiny = float(np.finfo(real).tiny)
    with mp.workprec(140):
        exact = [mp.re(function(mp.mpf(float(v)))) if v else mp.mpf("inf") for v in x]
        # Zeros, poles and what overflows have other tests.
        kept = [k for k, e in enumerate(exact) if mp.isfinite(e) and abs(e) < float(np.finfo(real).max) / 2]
        x, exact = x[kept], [exact[k] for k in kept]
        # In units of the last place of the result, as the dtype has it.
        units = [float(np.spacing(real(max(abs(float(e)), tiny)))) for e in exact]
        for isa in ISAS:
            found = call(isa, f"{name}:{dtype}", [x])
            errors = [float(abs(mp.mpf(float(f)) - e) / u) for f, e, u in zip(found, exact, units, strict=True)]
            worst = int(np.argmax(errors))
            assert errors[worst] <= 4, (isa, name, dtype, float(x[worst]), errors[worst])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_rounding_and_remainders_are_exact(isa, dtype):
    real = FLOATS[dtype]
    rng = np.random.default_rng(2)
    edge = 2.0 ** np.finfo(real).nmant
    special = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, edge, edge + 1, edge / 2 + 0.5, -edge, 1e30, np.inf, -np.inf, np.nan, 1e-40, 3.0, -7.0]
    x = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-5, 20, 500), special]).astype(real)
    word = np.uint32 if dtype == "f32" else np.uint64

    def same(found, expected):
        number = ~np.isnan(expected)
        assert np.array_equal(np.isnan(found), ~number)
        assert np.array_equal(found[number].view(word), expected.astype(real)[number].view(word))

    for name, function in {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.rint}.items():
        same(call(isa, f"{name}:{dtype}", [x]), function(x))
    a, b = (v.ravel().copy() for v in np.meshgrid(x[::7], np.concatenate([x[::11], np.array(special, real)])))
    with np.errstate(all="ignore"):
        for name, function in {"fmod": np.fmod, "remainder": np.remainder, "copysign": np.copysign}.items():
            same(call(isa, f"{name}:{dtype}", [a, b]), function(a, b))
        found, expected = call(isa, f"floor_divide:{dtype}", [a, b]), np.floor_divide(a, b)
    # Where the quotient has no room for a fraction, its own rounding counts.
    large = np.isfinite(expected) & (np.abs(expected) > edge / 16)
    np.testing.assert_allclose(found[large], expected[large], rtol=2 * np.finfo(real).eps)
    same(found[~large], expected[~large])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_functions_of_two(isa, dtype):
    real = FLOATS[dtype]
    rng = np.random.default_rng(3)
    magnitudes = 200 if dtype == "f64" else 25
    a, b = ((rng.normal(size=4000) * 10.0 ** rng.integers(-magnitudes, magnitudes, 4000)).astype(real) for _ in range(2))
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan]
    a = np.concatenate([a, *([real(v)] * len(special) for v in special)]).astype(real)
    b = np.concatenate([b, special * len(special)]).astype(real)
    with np.errstate(all="ignore"):
        for name, function in {"atan2": np.arctan2, "hypot": np.hypot}.items():
            found, expected = call(isa, f"{name}:{dtype}", [a, b]), function(a, b)
            assert np.array_equal(np.isnan(found), np.isnan(expected))
            assert np.array_equal(np.signbit(found)[~np.isnan(found)], np.signbit(expected)[~np.isnan(found)])
            np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(real).eps, atol=0)


@pytest.mark.parametrize("isa", ISAS)
def test_the_logarithm_of_the_beta_function_cancels_nothing(isa):
    a = np.array([1e10, 3.0, 1e6, 250.0, 0.25, 4.0, 1e-5, 2.0])
    b = np.array([3.0, 1e10, 1e6, 0.75, 0.5, 3.25, 1e5, 3.25])
    found = call(isa, "betaln:f64", [a, b])
    with mp.workprec(200):
        expected = [float(mp.log(mp.beta(mp.mpf(u), mp.mpf(v)))) for u, v in zip(a.tolist(), b.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=2e-15)


@pytest.mark.parametrize("isa", ISAS)
def test_powers_of_two_and_ten_have_whole_logarithms(isa):
    twos, tens = 2.0 ** np.arange(-1000, 1000, 7), 10.0 ** np.arange(0, 23)
    assert np.array_equal(call(isa, "log2:f64", [twos]), np.arange(-1000, 1000, 7))
    assert np.array_equal(call(isa, "log10:f64", [tens]), np.arange(0, 23))
    assert np.array_equal(call(isa, "exp2:f64", [np.arange(-1000.0, 1000.0, 7)]), twos)
