"""Functions that programs expect by name: against NumPy and SciPy, with derivatives, eagerly and compiled."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(15)
NAN = math.nan
X = RNG.normal(size=(3, 4))
HOLES = np.where(RNG.random((3, 5)) < 0.3, NAN, RNG.normal(size=(3, 5)))
HOLES[1] = NAN
ONES = np.ones(7)
A, B, C = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4)), RNG.normal(size=(2, 4))
BATCH, OTHER = RNG.normal(size=(5, 2, 3)), RNG.normal(size=(5, 3, 4))
LINE = np.sort(RNG.normal(size=6))
COUNTS = np.array([1, 2, 1, 3])


def _pdist(x, p=2.0):
    i, j = np.triu_indices(len(x), 1)
    return np.linalg.norm(x[i] - x[j], p, 1)


def _nearest(f):
    # What NumPy computes without its warnings of slices of NaN alone.
    def run(*args, **kwargs):
        with np.errstate(all="ignore"):
            return f(*args, **kwargs)

    return run


def _embedded(x, k=0):
    return np.stack([np.diag(row, k) for row in x])


#: The call, and what it is.
CASES = [
    ("nan_to_num", (np.array([1.0, NAN, math.inf, -math.inf]),), np.nan_to_num),
    ("nan_to_num", (np.array([1.0, NAN, math.inf, -math.inf]), 2.0, 3.0, 4.0), lambda x, *v: np.array([1.0, *v])),
    ("lerp", (X, X[::-1].copy(), 0.25), lambda a, b, w: a + w * (b - a)),
    ("lerp", (X, X[0], X[1]), lambda a, b, w: a + w * (b - a)),
    ("addcmul", (X, X[0], X[1], 0.5), lambda x, a, b, v: x + v * a * b),
    ("addcdiv", (X, X[0], X[1] + 9, 0.5), lambda x, a, b, v: x + v * a / b),
    ("fmax", (HOLES, HOLES[0]), np.fmax),
    ("fmin", (HOLES, HOLES[0]), np.fmin),
    ("heaviside", (np.array([-1.0, 0.0, 2.0, NAN]), np.array(0.5)), np.heaviside),
    ("sinc", (np.array([0.0, 1e-3, 0.03, 0.5, -1.0, 40.25]),), np.sinc),
    ("frac", (X * 3,), lambda x: x - np.trunc(x)),
    ("deg2rad", (X,), np.deg2rad),
    ("rad2deg", (X,), np.rad2deg),
    ("hardsigmoid", (X * 4,), lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    ("hardshrink", (X, 0.75), lambda x, t: np.where(abs(x) > t, x, 0)),
    ("softshrink", (X, 0.75), lambda x, t: np.where(abs(x) > t, x - t * np.sign(x), 0)),
    ("tanhshrink", (X,), lambda x: x - np.tanh(x)),
    ("threshold", (X, 0.25, -2.0), lambda x, t, v: np.where(x > t, x, v)),
    *((f"nan{f}", (HOLES, axis), getattr(np, f"nan{f}")) for f in ("sum", "prod", "mean", "var", "std", "median") for axis in (0, None)),
    *((f"nan{f}", (HOLES, axis), getattr(np, f"nan{f}")) for f in ("max", "min", "sum", "mean", "var", "median") for axis in (1,)),
    ("nanvar", (HOLES, 0, True, 1.0), lambda x, a, k, c: np.nanvar(x, a, ddof=c, keepdims=k)),
    ("nanquantile", (HOLES, 0.3, 1), lambda x, q, a: np.nanquantile(x, q, a)),
    ("nanquantile", (np.array([math.inf, NAN, 1.0, 2.0]), 0.9), lambda x, q: math.inf),
    ("count_nonzero", (np.where(X > 0, X, 0.0), 1), np.count_nonzero),
    ("cummin", (X, 1), np.minimum.accumulate),
    ("cummin", (np.array([3, -2, -(2**63), 5]), 0), np.minimum.accumulate),
    ("kthvalue", (X, 2, 1), lambda x, k, a: (np.sort(x, a)[:, k - 1], np.argsort(x, a)[:, k - 1])),
    ("trapezoid", (X,), np.trapezoid),
    ("trapezoid", (X, LINE[:3], 1.0, 0), np.trapezoid),
    ("trapezoid", (X, np.cumsum(abs(X), 1)), np.trapezoid),
    ("cumulative_trapezoid", (X, LINE[:4]), lambda y, x: np.cumsum((y[:, 1:] + y[:, :-1]) / 2 * np.diff(x), 1)),
    ("interp", (np.linspace(-3, 3, 9), LINE, X.ravel()[:6]), np.interp),
    ("interp", (np.linspace(-3, 3, 9), LINE, X.ravel()[:6], -7.0, 8.0), np.interp),
    ("interp", (X, LINE[:1], ONES[:1]), np.interp),
    ("unwrap", (np.cumsum(X * 3) % (2 * math.pi),), np.unwrap),
    ("unwrap", (X * 9, 4.0, 0, 5.0), lambda x, d, a, p: np.unwrap(x, d, a, period=p)),
    ("ediff1d", (X, np.array([1.0, 2.0]), 3.0), np.ediff1d),
    ("vander", (LINE, 4), np.vander),
    ("vander", (LINE, 3, True), np.vander),
    ("polyval", (LINE, X), np.polyval),
    *(("convolve", (LINE, ONES, mode), np.convolve) for mode in ("full", "same", "valid")),
    *(("correlate", (LINE, ONES[:4], mode), np.correlate) for mode in ("full", "same", "valid")),
    ("cov", (X,), np.cov),
    ("cov", (X, None, False, 0.0), lambda x, y, r, c: np.cov(x, y, r, ddof=c)),
    ("cov", (X, X[:1], True, 1.0, COUNTS, abs(X[0])), lambda x, y, r, c, f, a: np.cov(x, y, r, ddof=c, fweights=f, aweights=a)),
    ("cov", (LINE,), np.cov),
    ("corrcoef", (X,), np.corrcoef),
    ("bincount", (np.array([0, 2, 2]), 4), lambda x, n: np.bincount(x, minlength=n)),
    ("bincount", (np.array([0, 2, 2]), 4, LINE[:3]), lambda x, n, w: np.bincount(x, w, n)),
    ("histogram", (X,), np.histogram),
    ("histogram", (X, 4, (-1.0, 0.5)), np.histogram),
    ("histogram", (X, [-1.0, -0.5, 0.0, 2.0], None, abs(X)), lambda x, b, r, w: np.histogram(x, b, weights=w)),
    ("histogram", (np.array([2.0, 2.0]), 3), np.histogram),
    ("addmm", (C[0], A, B, 2.0, 0.5), lambda x, a, b, beta, alpha: beta * x + alpha * a @ b),
    ("addmm", (np.full((2, 4), NAN), A, B, 0), lambda x, a, b, beta: a @ b),
    ("addmv", (C[:, 0], A, B[:, 0], 2.0, 0.5), lambda x, a, b, beta, alpha: beta * x + alpha * a @ b),
    ("baddbmm", (C, BATCH, OTHER), lambda x, a, b: x + a @ b),
    ("addbmm", (C, BATCH, OTHER), lambda x, a, b: x + (a @ b).sum(0)),
    ("addr", (X, X[:, 0], X[0], 1, 2), lambda x, a, b, beta, alpha: x + 2 * np.outer(a, b)),
    ("cdist", (X, C, 3.0), lambda a, b, p: np.linalg.norm(a[:, None] - b[None], p, -1)),
    ("pdist", (X,), _pdist),
    ("normalize", (X, 3.0), lambda x, p: x / np.linalg.norm(x, p, 1, True)),
    *(("rot90", (X, k), np.rot90) for k in range(-1, 4)),
    ("rot90", (BATCH, 1, (2, 0)), np.rot90),
    ("block_diag", (A, LINE, B), lambda a, v, b: np.block([[a, np.zeros((2, 10))], [np.zeros((1, 3)), v[None], np.zeros((1, 4))],
                                                          [np.zeros((3, 9)), b]])),
    ("cartesian_prod", (LINE, ONES), lambda a, b: np.stack(np.meshgrid(a, b, indexing="ij"), -1).reshape(-1, 2)),
    *(("diag_embed", (X, k), _embedded) for k in (-2, 0, 1)),
    ("linalg_multi_dot", ([A, B, C.T, LINE[:2]],), np.linalg.multi_dot),
    ("linalg_matrix_rank", (np.stack([X, X - X, X[:1] * X[:, :1]]),), np.linalg.matrix_rank),
]  # fmt: skip
NAMES = {name for name, *_ in CASES}
#: Those whose derivative is compared with no difference: steps, and results that are no floats.
FLAT = {"count_nonzero", "linalg_matrix_rank", "histogram"}


def _leaves(y):
    return [np.asarray(v) for v in (y if isinstance(y, tuple) else (y,))]


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values(name):
    for name_, args, expected in CASES:
        if name_ != name:
            continue

        def program(ops, *xs, args=args):
            supply = iter(xs)
            full = [[next(supply) for _ in v] if isinstance(v, list) and hasattr(v[0], "shape") else
                    next(supply) if isinstance(v, np.ndarray) else v for v in args]  # fmt: skip
            return getattr(ops, name)(*full)

        xs = [x for v in args for x in (v if isinstance(v, list) and hasattr(v[0], "shape") else [v]) if isinstance(x, np.ndarray)]
        theirs = _leaves(_nearest(expected)(*args))
        for dtype in (np.float64, np.float32):
            own = [x.astype(dtype) if x.dtype.kind == "f" else x for x in xs]
            y, pull = tl.vjp(program, *own, backend="eager")
            z, pull_too = tl.vjp(program, *own, backend="compiled")
            for ours, compiled, value in zip(_leaves(y), _leaves(z), theirs, strict=True):
                assert ours.tobytes() == compiled.tobytes()
                assert ours.shape == value.shape
                if dtype is np.float64:
                    np.testing.assert_allclose(ours, value, 1e-13, 1e-14)
                    assert ours.dtype.kind == value.dtype.kind or name in ("nan_to_num", "heaviside")
                elif ours.dtype.kind == "f":
                    assert ours.dtype == dtype
            if name in FLAT:
                continue
            g = [RNG.normal(size=v.shape).astype(v.dtype) if v.dtype.kind == "f" else np.zeros(v.shape) for v in _leaves(y)]
            g = tuple(g) if isinstance(y, tuple) else g[0]
            first, second = pull(g), pull_too(g)
            for a, b in zip(first, second, strict=True):
                assert (a is None and b is None) or np.asarray(a).tobytes() == np.asarray(b).tobytes()


SMOOTH = [c for c in CASES if c[0] not in FLAT | {"nan_to_num", "heaviside", "fmax", "fmin", "bincount", "kthvalue"}]


@pytest.mark.parametrize("name", sorted({c[0] for c in SMOOTH}))
def test_derivatives(name):
    # Forward and reverse against a difference quotient along a line, where there is no NaN.
    name, args, _ = next(c for c in SMOOTH if c[0] == name)
    xs = [x for v in args for x in (v if isinstance(v, list) and hasattr(v[0], "shape") else [v])
          if isinstance(x, np.ndarray) and x.dtype.kind == "f"]  # fmt: skip
    xs = [np.where(np.isnan(x) | np.isinf(x), 1.5 + np.arange(x.size).reshape(x.shape) / 7, x) for x in xs]
    xs = [x + 0.013 if name == "sinc" else x for x in xs]

    def program(ops, *given):
        supply = iter(given)
        full = [[next(supply) for _ in v] if isinstance(v, list) and hasattr(v[0], "shape") else
                next(supply) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for v in args]  # fmt: skip
        return getattr(ops, name)(*full)

    d = [RNG.normal(size=x.shape) for x in xs]
    y, t = tl.jvp(program, tuple(xs), tuple(d))
    h = 1e-6
    ahead, behind = (np.asarray(tl.jvp(program, tuple(x + s * h * e for x, e in zip(xs, d, strict=True)), tuple(d))[0]) for s in (1, -1))
    np.testing.assert_allclose(np.asarray(t), (ahead - behind) / (2 * h), 1e-6, 1e-7)
    g = RNG.normal(size=np.shape(y))
    grads = tl.vjp(program, *xs)[1](g)
    total = sum(float(np.sum(np.asarray(a) * e)) for a, e in zip(grads if isinstance(grads, tuple | list) else [grads], d, strict=True))
    assert total == pytest.approx(float(np.sum(g * np.asarray(t))), rel=1e-11, abs=1e-12)


def test_the_second_derivative_of_sinc_at_0():
    assert float(tl.grad(tl.grad(lambda x: tl.sinc(x)))(np.float64(0.0))) == pytest.approx(-(math.pi**2) / 3, rel=1e-14)
    # The quotient would lose all digits there: (cos πx − sinc x)/x.
    assert float(tl.grad(lambda x: tl.sinc(x))(np.float64(1e-6))) == pytest.approx(-(math.pi**2) / 3 * 1e-6, rel=1e-11)


def test_integers_stay_integers():
    big = 2**62 + 1
    assert int(tl.addcmul(np.array([big]), np.array([1]), np.array([2]), 3)[0]) == big + 6
    assert int(tl.nansum(np.array([big, 1]))) == big + 1
    assert int(tl.nanmax(np.array([big, 1]))) == big
    assert int(tl.fmax(np.array([big]), np.array([1]))[0]) == big
    assert tl.vander(np.array([3, 2**31]), 3).numpy().tolist() == [[9, 3, 1], [2**62, 2**31, 1]]


REFUSED = {
    "lerp": ((None, X, 0.5), "lerp: a is required"),
    "trapezoid": ((X, X[None]), "trapezoid: x must have one axis"),
    "interp": ((X, X, LINE), "interp: xp and fp must have one axis of one length"),
    "kthvalue": ((X, 5), "kthvalue: k must be between 1 and the 4"),
    "bincount": ((np.array([0, 7]), 4), "bincount:"),
    "cov": ((BATCH,), "cov: x must have at most two axes"),
    "histogram": ((X, 0), "histogram: bins must be at least 1"),
    "addmm": ((C, A[0], B), "addmm: a must have 2 axes"),
    "normalize": ((X, 2.0, 5), "normalize: .*axis 5"),
    "rot90": ((X, 1, (0, 0)), "rot90: axes must be two different"),
    "block_diag": ((), "block_diag: one matrix"),
    "linalg_multi_dot": (([A],), "linalg_multi_dot: two matrices"),
    "frac": ((np.array([1]),), "frac: x must be floats"),
    "nanquantile": ((X, 1.5), "nanquantile: q must be between"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    args, message = REFUSED[name]
    with pytest.raises(tl.TleanError, match=message):
        getattr(tl.linalg if name.startswith("linalg") else tl, name.removeprefix("linalg_"))(*args)


def test_the_middle_beside_an_infinity():
    """At a whole place the next element has no part."""
    x = np.array([[1.0, 2.0, np.inf, np.nan], [-np.inf, 3.0, np.inf, np.nan]])
    assert tl.nanmedian(x, 1).tolist() == [2.0, 3.0]
    assert tl.nanquantile(x[0], 0.25).tolist() == 1.5


@pytest.mark.parametrize(("beta", "threshold"), [(1.0, None), (1, 20), (2.5, 1.0), (-0.5, None), (100.0, 20.0)])
def test_softplus(beta, threshold):
    """As PyTorch's: sharper with beta, and x itself above the threshold; the same bits on every face."""
    x = np.array([-800.0, -3.0, -0.25, 0.0, 0.3, 1.0, 25.0, 800.0])
    expected = np.logaddexp(beta * x, 0) / beta
    slope = 1 / (1 + np.exp(np.clip(-beta * x, -700, 700)))
    if threshold is not None:
        expected, slope = np.where(beta * x > threshold, x, expected), np.where(beta * x > threshold, 1.0, slope)
    y = tl.softplus(x, beta, threshold)
    np.testing.assert_allclose(y, expected, rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(tl.grad(lambda v: tl.sum(tl.softplus(v, beta, threshold)))(x), slope, rtol=1e-13, atol=1e-300)
    for call in (lambda v: tl.softplus(v, beta=beta, threshold=threshold), tl.nn.Softplus(beta, threshold)):
        assert np.array(tl.jit(call)(x)).tobytes() == np.array(y).tobytes()
    tape, i = tl.Tape(dtype="float64").leaf(x)
    tape, made = tape.softplus(i, beta, threshold)
    assert np.array(tape.get_value(made)).tobytes() == np.array(y).tobytes()
    with pytest.raises(tl.OptionError, match="other than 0"):
        tl.softplus(x, 0)
