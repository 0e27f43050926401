"""Booleans: comparisons, logic, `where`, `any` and `all` on every face, and their lanes inside fused groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tlean as tl
from tlean._core.array import as_tensor
from tlean._core.plan.plan import run
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.interpreters.dual import Dual
from tlean.interpreters.eager import EagerOps
from tlean.ops import Spec
from tlean.reference.interpreter import Reference

COMPARISONS = {"greater": np.greater, "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal}
COMPARISONS |= {"equal": np.equal, "not_equal": np.not_equal}
LOGIC = {"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor}
QUESTIONS = {"isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite}
VALUES = np.array([0.0, -0.0, 1.0, -1.0, 2.0, np.nan, np.inf, -np.inf])


def compiled(program, *arrays, dtype="float32"):
    """The values of a program's plan, and the plan."""
    graph = Graph(dtype)
    tensors = [as_tensor(a) for a in arrays]
    out = program(graph, *(graph.arg(Spec(t.shape, t.dtype)) for t in tensors))
    out = out if isinstance(out, tuple) else (out,)
    graph.outputs = [r.id for r in out]
    plan = lower(graph)
    return [y.numpy() for y in run(plan, tensors, [(tuple(r.shape), str(r.dtype)) for r in out])], plan


def eager(program, *arrays, dtype="float32"):
    ops = EagerOps(dtype)
    out = program(ops, *(ops.add_leaf(as_tensor(a), False) for a in arrays))
    return [r.value.numpy() for r in (out if isinstance(out, tuple) else (out,))]


def kernels(program, *arrays):
    return [s.kernel for s in compiled(program, *arrays)[1].program.steps]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_face_gives_booleans(dtype):
    a, b = (np.asarray(x, dtype) for x in (np.repeat(VALUES, len(VALUES)), np.tile(VALUES, len(VALUES))))

    def every(ops, x, y):
        pairs = [getattr(ops, name)(x, y) for name in COMPARISONS]
        return (*pairs, *(getattr(ops, name)(*pairs[:2]) for name in LOGIC), *(getattr(ops, name)(x) for name in QUESTIONS), ~pairs[0])

    with np.errstate(invalid="ignore"):
        wanted = [f(a, b) for f in COMPARISONS.values()]
    wanted += [f(wanted[0], wanted[1]) for f in LOGIC.values()] + [f(a) for f in QUESTIONS.values()] + [~wanted[0]]
    session = tl.Session(dtype=dtype, backend="compiled")
    dual, reference = Dual(EagerOps(dtype)), Reference(dtype)
    faces = {
        "eager": eager(every, a, b, dtype=dtype),
        "compiled": compiled(every, a, b, dtype=dtype)[0],
        "jit": [y.numpy() for y in tl.jit(every)(a, b)],
        "session": [r.value.numpy() for r in every(session, session.leaf(a), session.leaf(b))],
        "dual": [r.primal.value.numpy() for r in every(dual, *(dual.lift(dual.inner.leaf(x), dual.inner.leaf(x)) for x in (a, b)))],
        "reference": [r.value for r in every(reference, reference.leaf(a), reference.leaf(b))],
        "free": [x.numpy() for x in every(tl, as_tensor(a), as_tensor(b))],
    }
    for face, found in faces.items():
        for k, (x, y) in enumerate(zip(found, wanted, strict=True)):
            assert x.dtype == bool and np.array_equal(x, y), (face, k)


def test_operators_and_plain_numbers():
    x = np.linspace(-2, 2, 5)
    session = tl.Session(dtype="float32")
    for v in (session.leaf(x), as_tensor(x)):
        for found, wanted in (
            ((v > 0) & (v < 1.5), (x > 0) & (x < 1.5)), ((v > 0) | np.ones(5, bool), np.ones(5)), (~(v >= 0), x < 0),
            (True ^ (v > 0), x <= 0),
            (v != 1, x != 1), (v > 0, x > 0), (v == np.float32(1), x == 1), ((v > 0).any(), True), ((v > 0).all(), False),
        ):  # fmt: skip
            assert found.dtype == "bool" and isinstance(found, type(v)) and np.array_equal(np.asarray(found), wanted)
        assert bool(v.sum() > -1) and not bool((v > 0).all())
    # A number takes the array's dtype: 0.1 is not that rounded to float32.
    wide = session.add_leaf(as_tensor(np.array([0.1, 0.2])))
    assert (wide == 0.1).value.tolist() == [True, False] and (wide > 0.1).value.tolist() == [False, True]
    with pytest.raises(tl.DTypeError, match="b must hold integers or Booleans, not float64"):
        _ = (wide > 0) & wide
    with pytest.raises(tl.OptionError, match="one that a float holds"):
        _ = wide > 10**400


def test_a_boolean_of_a_recorded_program_has_no_truth():
    with pytest.raises(tl.DTypeError, match=r"where\(c, a, b\), cond or while_loop"):
        tl.jit(lambda x: x if x.sum() > 0 else -x)(np.ones(3))


def test_masks_choose_and_write():
    x = np.linspace(-2, 7, 10).reshape(2, 5)
    session = tl.Session(dtype="float64")
    r = session.leaf(x)
    assert np.array_equal(r[r > 5].value, x[x > 5])
    for y in (r.at[r > 0].mul(0).value, tl.jit(lambda x: x.at[x > 0].mul(0))(x), as_tensor(x).at[as_tensor(x) > 0].mul(0)):
        assert np.array_equal(y, np.where(x > 0, x * 0, x))
    rows = tl.jit(lambda x, m: x.at[m].set(1.0))(x, np.array([False, True]))
    assert np.array_equal(rows, [x[0], np.ones(5)])


@pytest.mark.parametrize("condition", ["bool", "float32", "float64", "int64"])
def test_where_takes_what_is_true(condition):
    """The dtype of the condition has no part in that of the result, and the branch not taken gets exact zeros."""
    c = np.array([0, 1, 0, 1, 1]).astype(condition)
    a, b = np.array([np.nan, 1, np.inf, 2, 3], "float32"), np.array([4, np.nan, 5, np.inf, 6], "float32")
    f = lambda a, b: tl.where(c, a, b)  # noqa: E731
    y, pull = tl.vjp(f, a, b)
    assert y.dtype == "float32" and np.array_equal(y, [4, 1, 5, 2, 3])
    da, db = pull(np.arange(1, 6, dtype="float32"))
    assert np.array_equal(da, [0, 2, 0, 4, 5]) and np.array_equal(db, [1, 0, 3, 0, 0])
    _, t = tl.jvp(f, (a, b), (np.full(5, 2, "float32"), np.full(5, 3, "float32")))
    assert np.array_equal(t, [3, 2, 3, 2, 2])
    session = tl.Session(dtype="float32")
    refs = [session.add_leaf(as_tensor(v)) for v in (c, a, b)]
    out = session.where(*refs)
    grads = session.backward_dense_all(out, np.arange(1, 6, dtype="float32"))
    assert out.dtype == "float32" and np.array_equal(grads[refs[1]], da) and np.array_equal(grads[refs[2]], db)


def test_no_bytes_between_fused_ops():
    """Inside a group Booleans are lanes; bytes are read and written at its border, and an op alone is its own kernel."""
    n = 5000
    x, y, m = np.ones(n, "float32"), np.ones(n, "float32"), np.ones(n, bool)
    assert kernels(lambda o, x, y, m: o.where(o.greater(x, y), o.mul(x, y), y), x, y, m) == ["fused(greater mul where)"]
    assert kernels(lambda o, x, y, m: o.mul(o.exp(x), o.less(x, y)), x, y, m) == ["fused(exp less mul)"]
    assert kernels(lambda o, x, y, m: o.where(o.logical_and(o.greater(x, y), m), x, y), x, y, m) == [
        "fused(greater as_float32 logical_and where)"
    ]
    assert kernels(lambda o, x, y, m: o.greater(o.add(x, y), y), x, y, m) == ["fused(add greater as_bool)"]
    assert kernels(lambda o, x, y, m: o.greater(x, y), x, y, m) == ["greater"]
    assert kernels(lambda o, x, y, m: o.where(m, x, y), x, y, m) == ["where"]
    assert kernels(lambda o, x, y, m: o.logical_or(m, o.logical_not(m)), x, y, m) == ["logical_not", "logical_or"]
    # A mask of floats is read as it is, one of another dtype converted.
    wide = x.astype("float64")
    y32, plan = compiled(lambda o, w, y: o.where(o._as_float32(w), y, o.neg(y)), wide, y)
    assert np.array_equal(y32[0], y) and [s.kernel for s in plan.program.steps] == ["fused(neg as_float32 where)"]
    assert compiled(lambda o, w, y: o.where(o._as_float32(w), y, y + 1), wide * 0, y)[0][0][0] == 2
    assert kernels(lambda o, x, y, m: o.where(x, o.exp(y), y), x, y, m) == ["fused(exp where)"]


# Programs of Booleans, drawn ---------------------------------------------------------------------------------------------

UNARY = ("logical_not", "isnan")
PAIRS = (*COMPARISONS, *LOGIC, "where", "add", "mul")
NUMPY = {**COMPARISONS, **LOGIC, "logical_not": np.logical_not, "isnan": np.isnan, "add": np.add, "mul": np.multiply}


@st.composite
def programs(draw):
    """Steps of a program on x, y (floats) and m (Booleans): (op, the numbers of what it reads)."""
    steps, count = [], 3
    for _ in range(draw(st.integers(1, 8))):
        name = draw(st.sampled_from((*UNARY, *PAIRS)))
        reads = 1 if name in UNARY else 3 if name == "where" else 2
        steps.append((name, tuple(draw(st.integers(0, count - 1)) for _ in range(reads))))
        count += 1
    return steps


def recorded(steps, ops, *values):
    values = list(values)
    for name, reads in steps:
        values.append(getattr(ops, name)(*(values[k] for k in reads)))
    return tuple(values[3:])


def by_numpy(steps, dtype, *values):
    values = list(values)
    for name, reads in steps:
        args = [values[k] for k in reads]
        if name == "where":
            c, a, b = args
            args = (a, b) if a.dtype == b.dtype == bool else [v.astype(dtype) for v in (a, b)]
            values.append(np.where(c != 0, *args))
        else:
            # Booleans alone are computed with as NumPy does.
            plain = name in LOGIC or name == "logical_not" or all(v.dtype == bool for v in args)
            args = args if plain else [v.astype(dtype) for v in args]
            values.append(NUMPY[name](*args))
    return values[3:]


@settings(max_examples=150, deadline=None)
@given(
    programs(), st.sampled_from([(), (1,), (5,), (3, 130), (2, 0), (70, 40)]), st.sampled_from(["float32", "float64"]), st.integers(0, 99)
)
def test_programs_are_numpys(steps, shape, dtype, seed):
    rng = np.random.default_rng(seed)
    shapes = [shape, shape[1:] if seed % 3 else shape, shape if seed % 2 else (*shape[:-1], 1)[-len(shape) :] if shape else ()]
    x, y = (np.asarray(rng.choice([0.0, 1.0, -1.0, 0.5, np.nan, np.inf], s), dtype) for s in shapes[:2])
    m = np.asarray(rng.random(shapes[2]) < 0.5)
    with np.errstate(all="ignore"):
        wanted = by_numpy(steps, dtype, x, y, m)
    found = eager(lambda *a: recorded(steps, *a), x, y, m, dtype=dtype)
    planned, _ = compiled(lambda *a: recorded(steps, *a), x, y, m, dtype=dtype)
    last, _ = compiled(lambda *a: recorded(steps, *a)[-1], x, y, m, dtype=dtype)
    for e, c, w in zip([*found, found[-1]], [*planned, last[0]], [*wanted, wanted[-1]], strict=True):
        assert e.dtype == c.dtype == w.dtype and e.shape == c.shape == w.shape
        assert np.array_equal(e, w, equal_nan=e.dtype != bool)
        # NaNs are alike, whatever their sign.
        assert np.where(e == e, e, 0).tobytes() == np.where(c == c, c, 0).tobytes()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=5), st.integers(0, 1 << 20), st.data())
def test_any_and_all_are_numpys(shape, seed, data):
    axes = data.draw(st.one_of(st.none(), st.lists(st.integers(0, max(len(shape) - 1, 0)), unique=True, max_size=len(shape)).map(tuple)))
    keepdims = data.draw(st.booleans())
    m = np.random.default_rng(seed).random(shape) < (seed % 5) / 4
    for name in ("any", "all"):
        wanted = np.asarray(getattr(np, name)(m, axis=axes, keepdims=keepdims))
        for x in (m, m.astype("float32"), m.astype("int64")):
            program = lambda ops, x, name=name: getattr(ops, name)(x, axis=axes, keepdims=keepdims)  # noqa: E731
            for found in (eager(program, x)[0], compiled(program, x)[0][0]):
                assert found.dtype == bool and np.array_equal(found, wanted)


def test_any_and_all_of_long_arrays():
    m = np.zeros((300, 5000), bool)
    for at in ((0, 0), (299, 4999), (150, 4097)):
        one = m.copy()
        one[at] = True
        for axis in (None, 0, 1):
            assert np.array_equal(tl.any(one, axis), one.any(axis)) and np.array_equal(tl.all(~one, axis), (~one).all(axis))


def test_isclose():
    a, b = (np.asarray(x) for x in (np.repeat(VALUES, 8), np.tile(VALUES, 8) * (1 + 1e-6)))
    for options in ({}, {"rtol": 0.0}, {"atol": 1.5}, {"equal_nan": True}):
        with np.errstate(invalid="ignore"):
            wanted = np.isclose(a, b, **options)
        assert np.array_equal(tl.isclose(a, b, **options), wanted)
        assert np.array_equal(tl.jit(lambda a, b, o=options: tl.isclose(a * 1.0, b, **o))(a, b), wanted)
    for wrong in ({"rtol": -1}, {"atol": "1"}, {"equal_nan": 1}):
        with pytest.raises(tl.OptionError, match="isclose"):
            tl.isclose(a, b, **wrong)
