"""The incomplete gamma and beta functions, Student's distribution and the inverses, against mpmath: within a unit of the last place."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from kernel_calls import run_op, usable_instruction_sets

import tlean as tl

mp = pytest.importorskip("mpmath")

#: In units in the last place of float64: what a rounding of a result that is off by little can be.
LIMIT = 1.0
rng = np.random.default_rng(0)
A = 10 ** rng.uniform(-3, 3, 24)
B = 10 ** rng.uniform(-3, 3, 24)
X = A * np.exp(rng.normal(0, 2, 24) / np.sqrt(A + 0.5))
SHARES = np.where(rng.random(24) < 0.5, 10 ** rng.uniform(-12, -1, 24), rng.random(24))
POINTS = A / (A + B) + np.sqrt(A * B / (A + B + 1)) / (A + B) * rng.normal(0, 2, 24)
POINTS = np.where((POINTS > 1e-6) & (POINTS < 1 - 1e-6), POINTS, rng.random(24))
Z = rng.normal(0, 4, 24)


def gamma(a, x, upper):
    return mp.gammainc(a, x, regularized=True) if upper else mp.gammainc(a, 0, x, regularized=True)


def beta(a, b, x, upper):
    return mp.betainc(b, a, 0, 1 - x, regularized=True) if upper else mp.betainc(a, b, 0, x, regularized=True)


def student(df, z, upper):
    half = mp.betainc(df / 2, 0.5, 0, df / (df + z * z), regularized=True) / 2
    return half if (z > 0) == upper else 1 - half


FUNCTIONS = {"_gammainc": (gamma, (A, X)), "_betainc": (beta, (A, B, POINTS)), "_student": (student, (A, Z))}
each = pytest.mark.parametrize(
    ("isa", "name", "upper"), list(itertools.product(usable_instruction_sets("special"), FUNCTIONS, (False, True)))
)


@each
def test_a_tail_is_right_to_the_last_place(isa, name, upper):
    function, arrays = FUNCTIONS[name]
    for dtype in (np.float64, np.float32):
        given = [x.astype(dtype) for x in arrays]
        found = run_op(isa, "special", name, "f64" if dtype is np.float64 else "f32", *given, upper=upper)
        with mp.workprec(250):
            for value, *point in zip(found, *given, strict=True):
                exact = function(*(mp.mpf(float(v)) for v in point), upper)
                error = abs(mp.mpf(float(value)) - exact) / float(np.spacing(abs(dtype(float(exact)))))
                assert error <= LIMIT, (name, point, float(error))


@pytest.mark.parametrize("isa", usable_instruction_sets("special"))
def test_an_inverse_gives_the_nearest_number(isa):
    # The share of the number found, or of a neighbour, encloses the share that was given.
    def run(name, *arrays, upper):
        return run_op(isa, "special", name, "f64", *arrays, upper=upper)

    for name, parameters in (("_gammainc", (A,)), ("_betainc", (A, B)), ("_student", (A,))):
        inverse = {"_gammainc": "_gammaincinv", "_betainc": "_betaincinv", "_student": "_student_inverse"}[name]
        for upper in (False, True):
            x = run(inverse, *parameters, SHARES, upper=upper)
            sides = [run(name, *parameters, np.nextafter(x, to), upper=upper) for to in (-np.inf, np.inf)]
            low, high = np.minimum(*sides), np.maximum(*sides)
            inside = (low * (1 - 4e-16) <= SHARES) & (high * (1 + 4e-16) >= SHARES)
            ends = (x == 0) | (x == 1) | ~np.isfinite(x)
            assert (inside | ends).all(), (name, upper, [p[~(inside | ends)] for p in parameters], SHARES[~(inside | ends)])


def test_large_parameters():
    isa = usable_instruction_sets("special")[0]
    a = np.array([2e5, 3e7, 1e10])
    with mp.workprec(200):
        # About the mean, by the first terms of the expansion in 1/a: P(a, a) = ½ + 1/(3√(2πa)) + …
        exact = [mp.mpf(1) / 2 + 1 / (3 * mp.sqrt(2 * mp.pi * v)) * (1 + mp.mpf(1) / (180 * v)) for v in a]
    found = run_op(isa, "special", "_gammainc", "f64", a, a, upper=False)
    np.testing.assert_allclose(found, [float(v) for v in exact], rtol=3e-14)
    assert run_op(isa, "special", "_betainc", "f64", a, a, np.full(3, 0.5), upper=False) == pytest.approx([0.5] * 3, rel=1e-15)
    normal = run_op(isa, "special", "_student", "f64", np.array([1e11, np.inf]), np.array([-3.0, -3.0]), upper=False)
    np.testing.assert_allclose(normal, float(mp.ncdf(-3)), rtol=1e-9)


@pytest.mark.parametrize("args", [(1e-30, 0.5, 1e-10), (1e-30, 10.0, 1e-30), (1e-8, 150.0, 1e-10), (0.01, 600.0, 9.9e-4)])
def test_a_small_share_beside_a_small_parameter(args):
    """The tail of what lies beyond, within a unit of the last place, and without millions of terms."""
    a, b, x = args
    with mp.workdps(50):
        wanted = float(mp.betainc(mp.mpf(a), mp.mpf(b), mp.mpf(x), 1, regularized=True))
    began = time.process_time()
    found = tl.betaincc(*(np.full(100, v) for v in args)).numpy()
    assert time.process_time() - began < 1
    assert np.all(np.abs(found - wanted) <= LIMIT * np.spacing(wanted))


def _tails(*args):
    arrays = [np.asarray(v, dtype=np.float64) for v in args]
    return tl.betainc(*arrays).numpy(), tl.betaincc(*arrays).numpy()


def test_parameters_of_every_size_take_bounded_time():
    sizes = np.array([5e-324, 1e-310, 1e-100, 1e-8, 0.5, 3.7, 1e4, 1e6, 1e9, 1e15, 1e20, 1e50, 1e200, 1.7e308])
    a, b = (g.ravel() for g in np.meshgrid(sizes, sizes))
    with np.errstate(over="ignore"):
        mean = 1 / (1 + np.exp(np.log(b) - np.log(a)))
    spread = np.sqrt(mean) * np.sqrt(1 - mean) / np.sqrt(1 + np.maximum(a, b))
    points = [mean, mean * 0.97, np.minimum(mean * 1.03, 1.0), np.clip(mean + spread, 0, 1), np.clip(mean - 5 * spread, 0, 1)]
    began = time.process_time()
    for x in points:
        lower, upper = _tails(a, b, x)
        assert ((lower >= 0) & (upper >= 0)).all() and np.allclose(lower + upper, 1, rtol=1e-15)
    for p in (1e-300, 0.3, 1 - 1e-16):
        x = tl.betaincinv(a, b, np.full(a.shape, p)).numpy()
        assert ((x >= 0) & (x <= 1)).all()
    assert time.process_time() - began < 3
    assert _tails(1e300, 1e300, [np.nextafter(0.5, 0), 0.5, np.nextafter(0.5, 1)])[0].tolist() == [0.0, 0.5, 1.0]


def test_huge_parameters_beside_sums_and_the_fraction():
    """Of a whole a the tail beyond is a sum of a terms, whatever b is; of two large ones the continued fraction is the same to a unit."""
    with mp.workprec(1300):
        for a, b, x in ((7, 5e25, 1.4e-25), (3, 1e50, 3e-50), (14, 1.3e11, 9e-11), (2, 1e300, 1.7e-300), (1, 1e200, 1e-200)):
            n, share = mp.mpf(b) + a - 1, mp.mpf(x)
            terms = [mp.gammaprod([n + 1], [j + 1, n - j + 1]) * share**j * mp.exp((n - j) * mp.log1p(-share)) for j in range(a)]
            exact = mp.fsum(terms)
            for found, wanted in zip(_tails(float(a), b, x), (1 - exact, exact), strict=True):
                assert abs(found - wanted) <= LIMIT * np.spacing(float(wanted)), (a, b, x)
    with mp.workprec(200):
        # The integral of the density from x to the middle.
        a = 3e6
        for shift in (1e-9, 1e-5, 3e-4):
            x = 0.5 - shift
            density = mp.exp(mp.loggamma(2 * a) - 2 * mp.loggamma(a))
            exact = 0.5 - mp.quad(
                lambda t, density=density: density * (t * (1 - t)) ** (mp.mpf(a) - 1), [mp.mpf(x), mp.mpf(x) / 2 + 0.25, 0.5]
            )
            assert abs(_tails(a, a, x)[0] - exact) <= LIMIT * np.spacing(float(exact)), shift


def test_the_smaller_tail_below_the_mean():
    """Where the parameter is tiny most of the mass is below the mean; the rest keeps its digits, and is not negative."""
    with mp.workprec(1600):
        for a, b, x in ((1e-100, 1e6, 5e-324), (1e-20, 0.5, 1.8e-20), (1e-310, 1e-3, 9.7e-308), (0.3, 40.0, 1e-9), (1e-12, 3.0, 0.2e-12)):
            p, q, share = mp.mpf(a), mp.mpf(b), mp.mpf(x)
            series = mp.hyp2f1(p, 1 - q, p + 1, share)
            exact = 1 - share**p / p * series * mp.gamma(p + q) / mp.gamma(p) / mp.gamma(q)
            assert abs(_tails(a, b, x)[1] - exact) <= LIMIT * np.spacing(float(exact)), (a, b, x)
