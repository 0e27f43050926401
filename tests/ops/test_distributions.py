"""Distributions: against SciPy's by Kolmogorov and Smirnov's test and by χ², their derivatives, and the same numbers on every path."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import tlean as tl

N = 40_000
#: Tests with fixed seeds: one that fails at this level is wrong, or was chosen badly once.
LEVEL = 1e-4
DTYPES = ("float32", "float64")
inf = math.inf

#: name, arguments without shape, the distribution of SciPy.
CONTINUOUS: list[tuple[str, dict[str, Any], Any]] = [
    ("uniform", {}, stats.uniform()),
    ("uniform", {"low": -2.0, "high": 3.0}, stats.uniform(-2, 5)),
    ("normal", {}, stats.norm()),
    ("normal", {"loc": 1.0, "scale": 0.25}, stats.norm(1, 0.25)),
    ("truncated_normal", {}, stats.truncnorm(-2, 2)),
    ("truncated_normal", {"loc": 1.0, "scale": 2.0, "low": 0.5, "high": 9.0}, stats.truncnorm(-0.25, 4, 1, 2)),
    ("truncated_normal", {"low": 6.0, "high": inf}, stats.truncnorm(6, inf)),
    ("truncated_normal", {"low": -inf, "high": -3.0}, stats.truncnorm(-inf, -3)),
    ("exponential", {"scale": 2.0}, stats.expon(scale=2)),
    ("gumbel", {"loc": 1.0, "scale": 2.0}, stats.gumbel_r(1, 2)),
    ("gamma", {"concentration": 0.2}, stats.gamma(0.2)),
    ("gamma", {"concentration": 1.0, "scale": 3.0}, stats.gamma(1, scale=3)),
    ("gamma", {"concentration": 7.5}, stats.gamma(7.5)),
    ("gamma", {"concentration": 1e5}, stats.gamma(1e5)),
    ("beta", {"a": 0.5, "b": 0.5}, stats.beta(0.5, 0.5)),
    ("beta", {"a": 2.0, "b": 30.0}, stats.beta(2, 30)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "parameters", "law"), CONTINUOUS)
def test_continuous(name, parameters, law, dtype):
    x = np.asarray(getattr(tl.random, name)(**parameters, shape=(N,), seed=17, dtype=dtype))
    assert x.dtype == dtype and x.shape == (N,)
    assert stats.kstest(x.astype(np.float64), law.cdf).pvalue > LEVEL
    # Neighbours, and elements at the distance of a block, have nothing in common.
    ranks = stats.rankdata(x) / N - 0.5
    for distance in (1, 2, 4):
        assert abs(12 * np.mean(ranks[distance:] * ranks[:-distance])) < 5 / math.sqrt(N)


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """The probability of counts at least so far off; classes that are rare are one."""
    expected = probabilities * counts.sum()
    many = expected > 5
    seen, wanted = [*counts[many], counts[~many].sum()], [*expected[many], max(counts.sum() - expected[many].sum(), 0.0)]
    keep = [w > 1e-6 * counts.sum() / N for w in wanted]
    assert all(k or not s for k, s in zip(keep, seen, strict=True))
    statistic = sum((s - w) ** 2 / w for s, w, k in zip(seen, wanted, keep, strict=True) if k)
    return float(stats.chi2(max(sum(keep) - 1, 1)).sf(statistic))


@pytest.mark.parametrize("rate", [0.3, 4.0, 9.99, 10.0, 57.0, 3000.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_poisson(rate, dtype):
    x = np.asarray(tl.random.poisson(np.dtype(dtype).type(rate) * np.ones(1, dtype), (N,), seed=5))
    assert x.dtype == np.int64
    counts = np.bincount(x)
    assert chi_square(counts, stats.poisson(float(np.dtype(dtype).type(rate))).pmf(np.arange(len(counts)))) > LEVEL


WEIGHTS = np.array([0.1, 0.0, 0.25, 0.05, 0.6])
DISCRETE: list[tuple[str, Callable[[], Any], np.ndarray]] = [
    ("categorical", lambda: tl.random.categorical(np.log(WEIGHTS + 1e-300), (N,), seed=1), WEIGHTS),
    ("choice", lambda: tl.random.choice(5, (N,), p=3 * WEIGHTS, seed=1), WEIGHTS),
    ("choice, all alike", lambda: tl.random.choice(7, (N,), seed=1), np.full(7, 1 / 7)),
    ("randint", lambda: tl.random.randint(-3, 8, (N,), seed=1) + 3, np.full(11, 1 / 11)),
    ("randint, int32", lambda: tl.random.randint(0, 10, (N,), dtype="int32", seed=2), np.full(10, 0.1)),
    ("bernoulli", lambda: np.asarray(tl.random.bernoulli(0.3, (N,), seed=1)).astype(int), np.array([0.7, 0.3])),
    ("multinomial", lambda: np.repeat(np.arange(5), np.asarray(tl.random.multinomial(N, WEIGHTS, seed=1))), WEIGHTS),
    ("a place of a permutation", lambda: [int(tl.random.permutation(6, seed=k)[0]) for k in range(2000)], np.full(6, 1 / 6)),
    ("two without replacement", lambda: [without(k) for k in range(2000)], np.array([0.85, 0.15])),
]


def without(seed: int) -> bool:
    # Whether of weights 1, 2, 3 the first two are drawn: with probability 1/6·2/5 + 2/6·1/4 = 3/20.
    a, b = np.asarray(tl.random.choice(3, (2,), False, [1.0, 2.0, 3.0], seed=seed))
    return bool(a + b == 1)


@pytest.mark.parametrize(("name", "draw", "weights"), DISCRETE, ids=[d[0] for d in DISCRETE])
def test_discrete(name, draw, weights):
    counts = np.bincount(np.asarray(draw()).astype(np.int64), minlength=len(weights))
    assert chi_square(counts, weights) > LEVEL


def test_dirichlet():
    d = np.asarray(tl.random.dirichlet(np.array([1.0, 0.5, 3.0]), (N,), seed=3))
    assert d.shape == (N, 3) and np.abs(d.sum(1) - 1).max() < 1e-12
    for k, a in enumerate((1.0, 0.5, 3.0)):
        assert stats.kstest(d[:, k], stats.beta(a, 4.5 - a).cdf).pvalue > LEVEL
    assert abs(np.corrcoef(d[:, 0], d[:, 1])[0, 1] + math.sqrt(0.5 / (3.5 * 4.0))) < 0.02


def test_orders_and_choices():
    x = np.arange(12.0).reshape(4, 3)
    rows = np.asarray(tl.random.permutation(x, seed=1))
    assert sorted(rows[:, 0]) == [0.0, 3.0, 6.0, 9.0] and (rows - rows[:, :1] == [0, 1, 2]).all()
    assert sorted(np.asarray(tl.random.permutation(x, 1, seed=1))[0]) == [0.0, 1.0, 2.0]
    for p in (None, [0.2, 0.0, 0.3, 0.1, 0.4]):
        drawn = np.asarray(tl.random.choice(5, (4,), False, p, seed=8))
        assert len(set(drawn.tolist())) == 4 and (p is None or 1 not in drawn)
    assert np.asarray(tl.random.choice(x, (2, 5), seed=0)).shape == (2, 5, 3)
    assert np.asarray(tl.random.choice(0, (0,), seed=0)).shape == (0,)
    wide = np.asarray(tl.random.randint(-(2**63), 2**63, (1000,), seed=0))
    assert wide.min() < -(2**62) and wide.max() > 2**62
    counts = np.asarray(tl.random.multinomial(9, np.ones((3, 1, 4)), (3, 5), seed=0))
    assert counts.shape == (3, 5, 4) and (counts.sum(-1) == 9).all() and counts.min() >= 0


# Derivatives ----------------------------------------------------------------------------------------------------------------


CONCENTRATIONS = np.array([1.0, 1.4, 2.5, 7.0, 30.0, 1000.0, 1e6])


@pytest.mark.parametrize("seed", range(6))
def test_gamma_moves_along_its_quantile(seed):
    """dx/da at a held probability, as SciPy's inverse of the distribution function has it, and its derivative."""
    a = CONCENTRATIONS

    def f(a):
        return tl.random.gamma(a, seed=seed)

    def slope(a):
        return tl.jvp(f, (a,), (np.ones_like(a),))[1]

    x = np.asarray(f(a))
    p, q, h = special.gammainc(a, x), special.gammaincc(a, x), 1e-5 * a
    quantile = lambda a: np.where(p < 0.5, special.gammaincinv(a, p), special.gammainccinv(a, q))  # noqa: E731
    np.testing.assert_allclose(np.asarray(slope(a)), (quantile(a + h) - quantile(a - h)) / (2 * h), rtol=2e-6)
    second = np.diag(np.asarray(tl.hessian(lambda a: tl.sum(f(a)))(a)))
    small = a < 100
    h = 1e-4 * a
    expected = (quantile(a + h) - 2 * quantile(a) + quantile(a - h)) / h**2
    np.testing.assert_allclose(second[small], expected[small], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("a", [0.3, 2.0])
def test_gradients_have_the_right_mean(a):
    """The mean of dx/da is d E[x]/da: 1 for gamma numbers, b/(a + b)² for beta ones; and of d ln x/da it is ψ′(a)."""
    n = 200_000
    mean = lambda f: np.asarray(tl.grad(lambda a: tl.mean(f(a)), seed=1)(np.array(a)))  # noqa: E731
    assert abs(mean(lambda a: tl.random.gamma(a, (n,))) - 1.0) < 0.02
    assert abs(mean(lambda a: tl.random.beta(a, 3.0, (n,))) - 3.0 / (a + 3.0) ** 2) < 0.01
    logs = lambda a: tl.log(tl.random.gamma(a, (n,)))  # noqa: E731
    assert abs(mean(logs) / float(special.polygamma(1, a)) - 1.0) < 0.02


def test_gradients_of_parameters():
    a = np.array([0.5, 1.5, 3.0])
    for f in (
        lambda a: tl.random.normal((4, 3), a, a), lambda a: tl.random.uniform((4, 3), -a, a), lambda a: tl.random.exponential((4, 3), a),
        lambda a: tl.random.gumbel((4, 3), a, a), lambda a: tl.random.truncated_normal((4, 3), a, a, -a, 2 * a),
        lambda a: tl.random.choice(a, (5,)), lambda a: tl.random.permutation(a), lambda a: tl.random.gamma(2.0, (4, 3), a),
    ):  # fmt: skip
        y = np.asarray(tl.jit(f, seed=2)(a))
        moved = np.asarray(tl.jvp(f, (a,), (a,), seed=2)[1])
        h = 1e-6
        differences = (np.asarray(tl.jit(f, seed=2)(a * (1 + h))) - np.asarray(tl.jit(f, seed=2)(a * (1 - h)))) / (2 * h)
        np.testing.assert_allclose(moved, differences, atol=1e-7 * (1 + np.abs(y).max()))


# The same numbers everywhere ------------------------------------------------------------------------------------------------


A = np.array([0.4, 1.0, 2.5, 40.0, 0.9])
PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "uniform": lambda ops, a: ops.random_uniform((700, 5), -a, a),
    "normal": lambda ops, a: ops.random_normal((700, 5), a, a),
    "truncated_normal": lambda ops, a: ops.random_truncated_normal((70, 5), a, a, -1.0, 3.0),
    "exponential": lambda ops, a: ops.random_exponential(scale=a),
    "gumbel": lambda ops, a: ops.random_gumbel((7, 5), scale=a),
    "gamma": lambda ops, a: ops.random_gamma(a, (300, 5)),
    "beta": lambda ops, a: ops.random_beta(a, 2.0, (30, 5)),
    "dirichlet": lambda ops, a: ops.random_dirichlet(a, (30,)),
    "poisson": lambda ops, a: ops.random_poisson(a, (300, 5)),
    "randint": lambda ops, a: ops.random_randint(0, 1000, (33_000,)),
    "bernoulli": lambda ops, a: ops.random_bernoulli(ops.scale(a, 0.02), (30, 5)),
    "categorical": lambda ops, a: ops.random_categorical(a, (9,)),
    "multinomial": lambda ops, a: ops.random_multinomial(9, a, (2,)),
    "permutation": lambda ops, a: ops.random_permutation(a),
    "choice": lambda ops, a: ops.random_choice(a, (7,), p=a),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_path_has_the_same_numbers(name, dtype):
    program, a = PROGRAMS[name], A.astype(dtype)
    before = tl.get_num_threads()
    values = []
    try:
        for threads in (1, 2):
            tl.set_num_threads(threads)
            for backend in ("eager", "compiled"):
                s = tl.Session(backend=backend, seed=4, dtype=dtype)
                y = program(s, s.input(a))
                values.append(np.asarray(y.value if backend == "compiled" else y.numpy()))
            values.append(np.asarray(tl.jit(program, seed=4)(a)))
    finally:
        tl.set_num_threads(before)
    assert len({(v.dtype.name, v.shape, v.tobytes()) for v in values}) == 1
    if name in ("uniform", "normal", "truncated_normal", "gamma", "beta", "dirichlet", "permutation", "choice"):
        loss = lambda ops, a: ops.sum(ops.square(program(ops, a)))  # noqa: E731
        made = [tl.value_and_grad(loss, seed=4, backend=b)(a) for b in ("eager", "compiled")]
        assert len({(np.asarray(v).tobytes(), np.asarray(g).tobytes()) for v, g in made}) == 1
        assert np.asarray(made[0][1]).dtype == dtype and np.isfinite(np.asarray(made[0][1])).all()


def test_a_stream_of_ones_own():
    """`Rng` draws what a session of its seed draws; `tl.seed` fixes the free functions, and no two calls coincide."""
    rng, s = tl.Rng(11), tl.Session(seed=11)
    pairs = [
        (rng.normal((5,)), s.random_normal((5,))), (rng.gamma(0.5, (3,)), s.random_gamma(0.5, (3,), seed=tl.rng.op_seed(11, 1))),
    ]  # fmt: skip
    for mine, theirs in pairs:
        assert mine.tobytes() == theirs.numpy().tobytes()
    assert rng.count == 2
    again = tl.Rng(11)
    again.load_state_dict({"seed": 11, "count": 1})
    assert again.gamma(0.5, (3,)).tobytes() == pairs[1][0].tobytes()
    calls = {
        **dict.fromkeys(("normal", "truncated_normal", "exponential", "gumbel"), ((4,),)), "gamma": (2.0, (4,)), "beta": (2.0, 3.0, (4,)),
        "dirichlet": ([1.0, 2.0],), "poisson": (50.0, (4,)), "randint": (0, 1 << 40, (4,)), "categorical": (np.zeros(1000),),
        "multinomial": (1000, [0.5, 0.5]), "choice": (1 << 20, (4,)), "bernoulli": (0.5, (64,)), "permutation": (np.arange(30),),
    }  # fmt: skip
    for name, arguments in calls.items():
        first, second = (getattr(rng, name)(*arguments) for _ in range(2))
        assert isinstance(first, np.ndarray) and first.tobytes() != second.tobytes()
        free = getattr(tl.random, name)
        tl.seed(3)
        drawn = [np.asarray(free(*arguments)).tobytes() for _ in range(2)]
        tl.seed(3)
        assert drawn[0] != drawn[1] and np.asarray(free(*arguments)).tobytes() == drawn[0]
        seed = tl.Rng(5).next_seed()
        assert np.asarray(free(*arguments, seed=seed)).tobytes() == getattr(tl.Rng(5), name)(*arguments).tobytes()
    order = tl.Rng(2)
    assert order.permutation(9).tolist() == np.asarray(tl.random.permutation(9, seed=tl.Rng(2).next_seed())).tolist()


def test_new_numbers_at_each_call_and_on_a_tape():
    noisy = tl.jit(lambda x: x + tl.random.normal(x.shape))
    assert np.asarray(noisy(np.zeros(5))).tobytes() != np.asarray(noisy(np.zeros(5))).tobytes()
    # On a tape an int is an id, and a float a number.
    tape, loc = tl.Tape(seed=1, dtype="float64").leaf([1.0, 2.0])
    tape, y = tape.random_normal((2,), loc, 0.5)
    z = tl.Session(seed=1, dtype="float64").random_normal((2,)).numpy()
    assert np.asarray(tape.get_value(y)).tolist() == (0.5 * z + [1.0, 2.0]).tolist()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tl.random.normal((2,), np.zeros(3)), tl.ShapeError, "loc"),
        (lambda: tl.random.normal((3,), np.zeros((2, 3))), tl.ShapeError, r"must broadcast to the shape \(3,\)"),
        (lambda: tl.random.normal((2,), dtype="int64"), tl.DTypeError, "random_normal"),
        (lambda: tl.random.randint(3, 3), tl.OptionError, "low must be below high"),
        (lambda: tl.random.randint(0, 1 << 40, dtype="int32"), tl.OptionError, "must fit int32"),
        (lambda: tl.random.randint(0, 2, dtype="float32"), tl.DTypeError, "int64 or int32"),
        (lambda: tl.random.choice(3, (4,), False), tl.OptionError, "at most 3"),
        (lambda: tl.random.choice(3, (4,), p=[1.0, 2.0]), tl.ShapeError, r"p must have shape \(3,\)"),
        (lambda: tl.random.choice(0, (1,)), tl.OptionError, "something to choose from"),
        (lambda: tl.random.permutation(-1), tl.OptionError, "at least 0"),
        (lambda: tl.random.permutation(np.zeros(3), 1), tl.IndexRangeError, "axis"),
        (lambda: tl.random.categorical(1.0), tl.ShapeError, "axis of at least one class"),
        (lambda: tl.random.multinomial(-1, [1.0]), tl.OptionError, "n must be at least 0"),
        (lambda: tl.random.dirichlet(1.0), tl.ShapeError, "must have an axis"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_corners():
    gamma = np.asarray(tl.random.gamma([-1.0, float("nan"), 0.0, inf], seed=0))
    assert np.isnan(gamma[:2]).all() and gamma[2] == 0.0 and gamma[3] == inf
    assert np.asarray(tl.random.poisson([-1.0, 0.0, float("nan")], seed=0)).tolist() == [-1, 0, -1]
    far = np.asarray(tl.random.truncated_normal((100,), 0.0, 1.0, 50.0, inf, seed=0))
    assert (far == 50.0).all()
    inside = np.asarray(tl.random.truncated_normal((5000,), 0.0, 1.0, 0.25, 0.2500001, seed=0))
    assert inside.min() >= np.float32(0.25) and inside.max() <= np.float32(0.2500001)
    assert np.asarray(tl.random.normal(())).shape == () and np.asarray(tl.random.gamma(2.0, (0, 3))).shape == (0, 3)
