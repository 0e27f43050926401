"""Arithmetic of integers: every op of integers and Booleans, in every mix of dtypes and on shapes that broadcast, against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_keys import drawn as cases
from whole_numbers import CORNERS, DTYPES, bits, drawn, everywhere

import tlean as tl
from tlean._core.array import as_tensor
from tlean.interpreters.eager import EagerOps
from tlean.ops import Spec
from tlean.ops.integers.forms import INTEGER_FORMULAS, strided_operands
from tlean.reference.interpreter import Reference


#: The ops of two operands -> NumPy's function.
def power(a, b):
    """NumPy's, and where it refuses, below 0, the whole part of 1/a^−b."""
    y = np.asarray(np.power(a, np.where(b < 0, 0, b).astype(b.dtype)))
    return np.where(b >= 0, y, np.where(np.abs(a) == 1, np.where(b % 2 == 0, 1, a), 0)).astype(y.dtype)


PAIRS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "max": np.maximum, "min": np.minimum, "floor_divide": np.floor_divide,
    "power": power,
    "remainder": np.remainder, "fmod": np.fmod, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "gcd": np.gcd, "lcm": np.lcm, "bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift, "greater": np.greater,
    "greater_equal": np.greater_equal, "equal": np.equal, "less": np.less, "less_equal": np.less_equal, "not_equal": np.not_equal,
}  # fmt: skip
SINGLE = {"neg": np.negative, "abs": np.abs, "sign": np.sign, "square": np.square, "bitwise_not": np.invert}
SINGLE["relu"] = lambda x: np.maximum(x, x.dtype.type(0))
SINGLE |= dict.fromkeys(("floor", "ceil", "trunc", "round"), np.copy)
#: Those that NumPy computes in int8 for Booleans, and this library in int64.
WIDENED = ("gcd", "lcm", "square", "power", "floor_divide", "remainder", "fmod", "bitwise_left_shift", "bitwise_right_shift")


@st.composite
def shapes(draw, count):
    """So many shapes that broadcast, of 0 to 4 axes."""
    whole = draw(st.lists(st.sampled_from([0, 1, 2, 3, 3, 5]), max_size=4))
    if whole and draw(st.integers(0, 9)) == 0:
        whole[draw(st.integers(0, len(whole) - 1))] = draw(st.sampled_from([33, 700]))
    kept = [whole[draw(st.integers(0, len(whole))) :] for _ in range(count)]
    return [tuple(1 if draw(st.integers(0, 2)) == 0 else n for n in shape) for shape in kept]


def expected_of(function, name, *arrays):
    """NumPy's value, or the error that it has."""
    if name in WIDENED and all(a.dtype == bool for a in arrays):
        arrays = [a.astype(np.int64) for a in arrays]
    with np.errstate(all="ignore"):
        try:
            return function(*arrays)
        except TypeError:
            return None


@cases(100)
@given(st.sampled_from(sorted(PAIRS)), st.sampled_from(DTYPES), st.sampled_from(DTYPES), shapes(2), st.integers(0, 2**32 - 1))
def test_ops_of_two_operands(name, first, second, declared, seed):
    a, b = drawn(declared[0], first, seed), drawn(declared[1], second, seed + 1)
    expected = expected_of(PAIRS[name], name, a, b)
    if expected is None:
        with pytest.raises(tl.DTypeError, match="logical_xor"):
            everywhere(lambda ops, x, y: getattr(ops, name)(x, y), [a, b])
        return
    assert bits(everywhere(lambda ops, x, y: getattr(ops, name)(x, y), [a, b])) == bits(expected)
    exact = Reference("float64")
    value = exact.apply(name, (exact.const(a), exact.const(b)), {}).value
    np.testing.assert_array_equal(value.astype(expected.dtype), expected)


@cases(100)
@given(st.sampled_from(sorted(SINGLE)), st.sampled_from(DTYPES), shapes(1), st.integers(0, 2**32 - 1))
def test_ops_of_one_operand(name, dtype, declared, seed):
    x = drawn(declared[0], dtype, seed)
    expected = expected_of(SINGLE[name], name, x)
    if expected is None:
        with pytest.raises(tl.DTypeError, match="Booleans alone are not taken"):
            everywhere(lambda ops, v: getattr(ops, name)(v), [x])
        return
    assert bits(everywhere(lambda ops, v: getattr(ops, name)(v), [x])) == bits(expected)


@cases(100)
@given(
    st.sampled_from(DTYPES), st.sampled_from(DTYPES), shapes(3), st.integers(0, 2**32 - 1), st.sampled_from(["bool", "int64", "float64"])
)
def test_where(first, second, declared, seed, condition):
    c = drawn(declared[0], "bool", seed).astype(condition)
    a, b = drawn(declared[1], first, seed + 1), drawn(declared[2], second, seed + 2)
    assert bits(everywhere(lambda ops, *xs: ops.where(*xs), [c, a, b])) == bits(np.where(c != 0, a, b))


#: Operators with Python's integers, which take the dtype of the array.
NUMBERS = {
    "x + c": lambda x, c: x + c, "c + x": lambda x, c: c + x, "x - c": lambda x, c: x - c, "c - x": lambda x, c: c - x,
    "x * c": lambda x, c: x * c, "x // c": lambda x, c: x // c, "c // x": lambda x, c: c // x, "x % c": lambda x, c: x % c,
    "x & c": lambda x, c: x & c, "c | x": lambda x, c: c | x, "x ^ c": lambda x, c: x ^ c, "x << c": lambda x, c: x << c,
    "c << x": lambda x, c: c << x, "x >> c": lambda x, c: x >> c, "c >> x": lambda x, c: c >> x, "x ** 5": lambda x, c: x**5,
    "x > c": lambda x, c: x > c, "x == c": lambda x, c: x == c, "x != c": lambda x, c: x != c, "x <= c": lambda x, c: x <= c,
    "-x": lambda x, c: -x, "abs": lambda x, c: abs(x), "~x": lambda x, c: ~x, "divmod": lambda x, c: divmod(x, c)[0],
    "np.maximum": lambda x, c: np.maximum(x, c), "np.floor_divide": lambda x, c: np.floor_divide(x, c),
    "np.left_shift": lambda x, c: np.left_shift(x, c), "np.clip": lambda x, c: np.clip(x, min(c, 3), max(c, 3)),
    "np.invert": lambda x, c: np.invert(x), "x.clip": lambda x, c: x.clip(None, c),
}  # fmt: skip


@cases(100)
@given(
    st.sampled_from(sorted(NUMBERS)), st.sampled_from(["int64", "int32"]), shapes(1), st.sampled_from(CORNERS), st.integers(0, 2**32 - 1)
)
def test_operators_with_numbers(form, dtype, declared, c, seed):
    """A number is exact; one that does not fit the array's dtype is an error, as in NumPy."""
    x, call = drawn(declared[0], dtype, seed), NUMBERS[form]
    if form == "x - c" and c == np.iinfo(dtype).min:
        c += 1
    held = np.iinfo(dtype).min <= c <= np.iinfo(dtype).max
    if not held and "c" in form.replace("np.", "").replace("clip", "c"):
        with pytest.raises((tl.DTypeError, tl.OptionError), match="fit int32"):
            everywhere(lambda ops, v: call(v, c), [x])
        return
    with np.errstate(all="ignore"):
        expected = call(x, c if held else 3)
    assert bits(everywhere(lambda ops, v: call(v, c if held else 3), [x])) == bits(expected)
    assert bits(call(as_tensor(x), c if held else 3)) == bits(expected)


@cases(100)
@given(
    st.sampled_from(DTYPES), st.integers(0, 2**32 - 1), st.lists(st.sampled_from([1, 1, 2, 3, 5, 70]), min_size=1, max_size=4), st.data()
)
def test_reductions(dtype, seed, sizes, data):
    """Sums are int64; maxima keep the dtype, and the first of several is found."""
    x = drawn(tuple(sizes), dtype, seed)
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(sizes) - 1)))))
    keep, axis = data.draw(st.booleans()), data.draw(st.integers(0, len(sizes) - 1))
    cases = [
        (lambda ops, v: ops.reduce_sum(v, axes, keep), np.sum(x, axis=axes, keepdims=keep, dtype=np.int64)),
        (lambda ops, v: ops.reduce_max(v, axes, keep), np.max(x, axis=axes, keepdims=keep)),
        (lambda ops, v: v.min(axis=axes, keepdims=keep), np.min(x, axis=axes, keepdims=keep)),
        (lambda ops, v: ops.sum(v), np.sum(x, dtype=np.int64)),
        (lambda ops, v: ops.argmax(v, axis), np.argmax(x, axis)),
        (lambda ops, v: v.argmin(axis), np.argmin(x, axis)),
        (lambda ops, v: ops.cumsum(v, axis), np.cumsum(x, axis, dtype=np.int64)),
        (lambda ops, v: ops.prod(v, axes, keep), np.prod(x, axis=axes, keepdims=keep, dtype=np.int64)),
        (lambda ops, v: ops.cumprod(v, axis), np.cumprod(x, axis, dtype=np.int64)),
        (lambda ops, v: v.cumsum(), np.cumsum(x, dtype=np.int64)),
    ]
    for call, expected in cases:
        assert bits(everywhere(call, [x])) == bits(expected)


def test_sums_of_nothing():
    for dtype in DTYPES:
        x = np.zeros((0, 3), dtype)
        assert bits(everywhere(lambda ops, v: ops.reduce_sum(v, 0), [x])) == bits(np.zeros(3, np.int64))
        assert bits(everywhere(lambda ops, v: ops.reduce_sum(v, 1), [x])) == bits(np.zeros(0, np.int64))
        assert bits(everywhere(lambda ops, v: ops.cumsum(v, 0), [x])) == bits(np.zeros((0, 3), np.int64))


@pytest.mark.parametrize("default", ["float32", "float64"])
def test_what_leaves_the_integers(default):
    """Quotients, means and plain floats have the program's dtype; an array of floats has its own."""
    x = np.array([3, -4, 2**24 + 1])

    def program(ops, n):
        return [n / 2, ops.div(n, n), ops.mean(n), n + 0.5, 2.0 * n, n**2.0, n**-1.5, ops.sqrt(n * n), ops.clamp(n, -1.0, 1.0)]

    ops = EagerOps(default)
    eager = program(ops, ops.add_leaf(as_tensor(x), False))
    compiled = tl.compile_out(lambda o, n: o.stack([r.sum() for r in program(o, n)]), [Spec((3,), "int64")], default)
    assert {str(r.dtype) for r in eager} == {default}
    assert compiled(x).dtype == default
    np.testing.assert_array_equal(eager[0].numpy(), (x * 0.5).astype(default))
    for other in ("float32", "float64"):
        assert ops.mul(ops.add_leaf(as_tensor(x), False), ops.add_leaf(as_tensor(x.astype(other)), False)).dtype == other


def test_errors():
    ops = EagerOps("float32")
    n, m = ops.add_leaf(as_tensor(np.arange(3)), False), ops.add_leaf(as_tensor(np.array([True, False, True])), False)
    for call, error, words in [
        (lambda: m - m, tl.DTypeError, "logical_xor"),
        (lambda: -m, tl.DTypeError, "logical_not"),
        (lambda: ops.sign(m), tl.DTypeError, "no sign"),
        (lambda: n**-1, tl.OptionError, "at least 0"),
        (lambda: n & 1.5, tl.DTypeError, "integers or Booleans, not float32"),
        (lambda: ops.bitwise_and(n, ops.leaf([1.0, 2.0, 3.0])), tl.DTypeError, "b must hold integers"),
        (lambda: n + 2**63, tl.OptionError, "64 bits"),
        (lambda: ops.add(n, 2**63), tl.DTypeError, "fit int64"),
    ]:
        with pytest.raises(error, match=words):
            call()
    with pytest.raises(tl.DTypeError, match="logical_xor"):
        tl.compile_out(lambda o, v: v - v, [Spec((3,), "bool")])


def test_numbers_beside_booleans_are_integers():
    m = np.array([True, False])
    for call in (lambda v: v + 1, lambda v: 2 - v, lambda v: v * 3, lambda v: v**2, lambda v: v // 2, lambda v: v & 2):
        # NumPy has int8 for some of them, which this library has not.
        assert bits(everywhere(lambda ops, v, call=call: call(v), [m])) == bits(call(m).astype(np.int64))


def test_arrays_and_lists_that_are_no_references():
    """They are integers where all else is, and take a float's dtype beside it."""
    x, n = np.array([1.5, 2.5]), np.array([3, 4])
    ops = EagerOps("float64")
    whole, real = ops.add_leaf(as_tensor(n), False), ops.leaf(x)
    assert [str(ops.add(whole, v).dtype) for v in (n, [1, 2], 7, n.astype("int32"), m_of(n), np.int32(3))] == ["int64"] * 6
    assert ops.add(ops.add_leaf(as_tensor(n.astype("int32")), False), 7).dtype == "int32"
    assert [str(ops.add(real, v).dtype) for v in (n, [1, 2], 7)] == ["float64"] * 3
    assert (tl.add(n, n).dtype, tl.add(n, x).dtype, tl.mul([2, 3], [4, 5]).tolist()) == ("int64", "float64", [8, 15])
    before = len(ops.store)
    ops.add(whole, n)
    assert len(ops.store) == before + 2, "the constant and the op"


def m_of(n):
    return n > 3


def test_no_gradient_flows_through_integers():
    def program(x, n):
        k = n * n + 1
        return tl.sum(x * k) + tl.sum(tl.where(n > 1, x, 0 * x))

    x, n = np.array([1.0, 2.0, 3.0]), np.arange(3)
    assert tl.grad(program)(x, n).tolist() == [1.0, 2.0, 6.0]
    gradient = tl.grad(program, (0, 1))(x, n)
    assert gradient[1] is None


def test_comparisons_are_exact():
    """2^53 + 1 is no float64."""
    a, b = np.array([2**53 + 1, -(2**53) - 1]), np.array([2**53, -(2**53)])
    assert everywhere(lambda ops, x, y: ops.greater(x, y), [a, b]).tolist() == [True, False]
    assert everywhere(lambda ops, x, y: ops.equal(x, y), [a, b]).tolist() == [False, False]


def test_every_formula_is_tested():
    assert INTEGER_FORMULAS.keys() == {*PAIRS, *SINGLE, "where", "scale", "shift", "pow", "clamp"}


def test_operands_are_read_where_they_are():
    """Axes are merged as far as every operand allows; a stretched one has a stride of 0."""
    assert strided_operands([(4, 5), (4, 5)]) == (1, 20, 1, 1)
    assert strided_operands([(4, 5), ()]) == (1, 20, 1, 0)
    assert strided_operands([(4, 5), (5,)]) == (2, 4, 5, 5, 1, 0, 1)
    assert strided_operands([(2, 3, 1, 5), (3, 4, 1)]) == (4, 2, 3, 4, 5, 15, 5, 0, 1, 0, 4, 1, 0)
    assert strided_operands([(0, 3), (3,)])[:2] == (1, 0)
    x, y = np.arange(12).reshape(3, 4), np.arange(3).reshape(3, 1)
    kernels = [s.kernel for s in tl.compile_out(lambda ops, a, b: a * b, [Spec(v.shape, "int64") for v in (x, y)]).plan.program.steps]
    assert kernels == ["mul"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_agree(dtype):
    """One thread and three: the same bits."""
    n = tl.get_num_threads()
    x, row = drawn((300, 401), dtype, 1), drawn((401,), dtype, 2)
    calls = [lambda ops, a, b: a * b, lambda ops, a, b: ops.reduce_sum(a, 0), lambda ops, a, b: ops.reduce_max(a, 1)]
    calls += [lambda ops, a, b: ops.matmul(a, a, transpose_b=True)]
    calls += [lambda ops, a, b: ops.cumsum(a, 0), lambda ops, a, b: ops.where(ops.greater(a, b), a, b)]
    found = []
    try:
        for threads, call in itertools.product((1, 3), calls):
            tl.set_num_threads(threads)
            found.append(bits(everywhere(call, [x, row])))
    finally:
        tl.set_num_threads(n)
    assert found[: len(calls)] == found[len(calls) :]


@pytest.mark.parametrize("dtype", DTYPES)
@cases(40)
@given(seed=st.integers(0, 2**32 - 2))
def test_products_of_matrices(dtype, seed):
    """As NumPy's, modulo 2 to the power of the bits; of Booleans whether any pair is true."""
    rng = np.random.default_rng(seed)
    m, n, k = (int(d) for d in rng.integers(0, 6, 3))
    lead = [int(d) for d in rng.integers(1, 4, rng.integers(0, 3))]
    own, other = (tuple(1 if rng.random() < 0.3 else d for d in lead[rng.integers(0, len(lead) + 1) :]) for _ in range(2))
    turn_a, turn_b = bool(rng.integers(2)), bool(rng.integers(2))
    a = drawn((*own, *((k, m) if turn_a else (m, k))), dtype, seed)
    b = drawn((*other, *((n, k) if turn_b else (k, n))), DTYPES[rng.integers(3)], seed + 1)
    left, right = np.swapaxes(a, -1, -2) if turn_a else a, np.swapaxes(b, -1, -2) if turn_b else b
    ours = everywhere(lambda ops, x, y: ops.matmul(x, y, transpose_a=turn_a, transpose_b=turn_b), [a, b])
    assert bits(ours) == bits(np.matmul(left, right))
    vectors = [lambda o, x, y: o.matmul(x, y), lambda o, x, y: o.tensordot(x, y, 1), lambda o, x, y: o.einsum("i,i->", x, y)]
    v, w = drawn((k,), dtype, seed), drawn((k,), dtype, seed + 2)
    for call in vectors:
        assert bits(everywhere(call, [v, w])) == bits(np.matmul(v, w))


def test_products_of_many_rows():
    """Several chunks, threads and rows of a batch, and integers that no float64 holds."""
    a, b = drawn((3, 130, 70), "int64", 1), drawn((70, 50), "int64", 2)
    assert bits(everywhere(lambda ops, x, y: ops.matmul(x, y), [a, b])) == bits(a @ b)
    assert tl.matmul(a, b).dtype == "int64"
    assert (a[0, :, :4] @ tl.AnyTensor(b[:4])).tolist() == (a[0, :, :4] @ b[:4]).tolist()
    lanes = tl.vmap(lambda x: tl.matmul(x, b))(a)
    assert np.asarray(lanes).tolist() == (a @ b).tolist()


def test_captured_integers_are_read_at_each_call():
    offsets = np.array([1, 2, 3])
    f = tl.jit(lambda n: n * offsets + 1)
    assert f(np.array([1, 1, 1])).tolist() == [2, 3, 4]
    offsets[:] = 5
    assert f(np.array([1, 1, 1])).tolist() == [6, 6, 6]


def test_rounding_to_tens_is_exact():
    x = np.array([15, 25, -15, 149, -149, 150, 7])
    for decimals in (1, -1, -2, -3, -30):
        expected = (np.round(x, decimals) if decimals > -30 else 0 * x).tolist()
        y = tl.jit(lambda v, d=decimals: v.round(d))(x)
        assert (y.dtype, y.tolist()) == ("int64", expected)
    assert tl.jit(lambda v: v.round(-1))(np.array([2**53 + 1])).tolist() == [2**53 - 2]
    assert tl.fixed_point(lambda x: 2, 1.0).item() == 2.0
