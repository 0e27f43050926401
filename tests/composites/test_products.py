"""Matrix products of vectors and of matrices whose leading axes broadcast, and sums of products over named axes, as NumPy has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tlean as tl
from tlean.ops import get
from tlean.ops.registry import Spec

few = settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])


def bits(x):
    x = np.asarray(x)
    return x.shape, x.dtype, x.tobytes()


def whole_numbers(seed, *shapes):
    """Sums of their products are exact, in whatever order."""
    rng = np.random.default_rng(seed)
    return [np.array(rng.integers(-4, 5, s), float) for s in shapes]


@st.composite
def factors(draw):
    """The shapes of two factors, and whether each is read transposed."""
    m, k, n = (draw(st.sampled_from([0, 1, 2, 3, 5, 17])) for _ in range(3))
    lead = draw(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4))
    leads = []
    for _ in range(2):
        own = lead[draw(st.integers(0, len(lead))) :]
        leads.append(tuple(1 if draw(st.integers(0, 2)) == 0 else d for d in own))
    flags = draw(st.booleans()), draw(st.booleans())
    a = (*leads[0], *((k, m) if flags[0] else (m, k)))
    b = (*leads[1], *((n, k) if flags[1] else (k, n)))
    vectors = draw(st.sampled_from(["", "", "a", "b", "ab"]))
    if "a" in vectors:
        a, flags = (k,), (False, flags[1])
    if "b" in vectors:
        b, flags = (k,), (flags[0], False)
    return a, b, flags, draw(st.integers(0, 2**32 - 1))


def transposed(x, flag):
    return np.swapaxes(x, -1, -2) if flag else x


@few
@given(factors())
def test_matmul_is_numpys(call):
    first, second, (ta, tb), seed = call
    a, b = whole_numbers(seed, first, second)
    expected = np.matmul(transposed(a, ta), transposed(b, tb))
    assert np.array_equal(np.asarray(tl.matmul(a, b, ta, tb)), expected)
    (w,) = whole_numbers(seed + 1, np.shape(expected))

    def loss(ops, a, b):
        return ops.sum(ops.mul(ops.matmul(a, b, ta, tb), w))

    da, db = tl.grad(loss, argnums=(0, 1))(a, b)
    m = tl.TapeM(dtype="float64")
    refs = m.leaf(a), m.leaf(b)
    y = m.matmul(*refs, ta, tb)
    assert np.array_equal(y.numpy(), expected) and y.shape == np.shape(expected)
    assert y.id == 2
    grads = m.backward(y, w)
    for x, g, r in zip((a, b), (da, db), refs, strict=True):
        assert bits(g) == bits(grads[r.id])
        assert np.shape(g) == x.shape
    # The transpose identity, in whole numbers: the product is linear in each factor.
    assert np.sum(np.asarray(da) * a) == np.sum(expected * w) == np.sum(np.asarray(db) * b)
    (t,) = whole_numbers(seed + 2, first)
    assert np.sum(np.asarray(da) * t) == np.sum(np.matmul(transposed(t, ta), transposed(b, tb)) * w)


@few
@given(factors(), st.sampled_from(["float32", "float64"]), st.sampled_from([1, 4, 30]))
def test_a_product_that_broadcasts_has_the_bits_of_the_one_of_copies(call, dtype, rows):
    first, second, (ta, tb), seed = call
    if len(first) == 1 or len(second) == 1:
        return
    rng = np.random.default_rng(seed)
    # More rows: other ways through the kernel.
    first = (*first[:-2], *((first[-2], rows * first[-1]) if ta else (rows * first[-2], first[-1])))
    a, b = (rng.standard_normal(s).astype(dtype) for s in (first, second))
    lead = np.broadcast_shapes(first[:-2], second[:-2])
    copies = [np.array(np.broadcast_to(x, (*lead, *x.shape[-2:]))) for x in (a, b)]
    assert bits(tl.matmul(a, b, ta, tb)) == bits(tl.matmul(*copies, ta, tb))


def test_the_batch_of_a_product_is_described_by_as_few_axes_as_there_are():
    def axes(a, b):
        ints, _ = get("matmul").kernel_params((Spec(a), Spec(b)), {"transpose_a": False, "transpose_b": True})
        return ints[0], ints[1], ints[6:]

    assert axes((2, 3, 4, 5), (2, 3, 6, 5)) == (6, 4, (1, 6, 20, 30))
    assert axes((2, 3, 4, 5), (6, 5)) == (6, 4, (1, 6, 20, 0))
    assert axes((2, 3, 70, 5), (6, 5)) == (1, 420, (0,))
    assert axes((2, 1, 3, 4, 5), (7, 3, 6, 5)) == (42, 4, (3, 2, 7, 3, 60, 0, 20, 0, 90, 30))


def test_no_copy_of_a_factor_that_broadcasts():
    """The weights of a compiled product need no memory but their own, nor do their gradients beyond the gradient."""

    def loss(ops, w, x):
        return ops.sum(ops.square(ops.matmul(x, w)))

    compiled = tl.compile_scalar(loss, [(64, 64), (50, 16, 64)])
    # The product and its cotangent.
    assert compiled.plan.scratch_bytes <= 2 * 4 * 50 * 16 * 64 + 4096


def test_threads_do_not_change_the_bits():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((1, 7, 40, 60)), rng.standard_normal((9, 1, 60, 50))
    results = []
    for n in (1, 3):
        before = tl.get_num_threads()
        tl.set_num_threads(n)
        try:
            results.append(bits(tl.matmul(a, b)))
        finally:
            tl.set_num_threads(before)
    assert results[0] == results[1]


# Einsum ----------------------------------------------------------------------------------------------------------------------


@st.composite
def sums(draw):
    """A text for einsum and the shapes of its operands."""
    letters = "abcde"
    sizes = {k: draw(st.sampled_from([0, 1, 2, 2, 3])) for k in letters}
    dots = tuple(draw(st.lists(st.sampled_from([1, 2, 3]), max_size=2)))
    words, shapes = [], []
    for _ in range(draw(st.integers(1, 4))):
        word = draw(st.lists(st.sampled_from(letters), max_size=3))
        shape = [sizes[k] for k in word]
        text = "".join(word)
        if draw(st.booleans()):
            at = draw(st.integers(0, len(word)))
            own = tuple(draw(st.sampled_from([d, 1])) for d in dots[draw(st.integers(0, len(dots))) :])
            text, shape = text[:at] + "..." + text[at:], [*shape[:at], *own, *shape[at:]]
        words.append(text)
        shapes.append(tuple(shape))
    spec = ",".join(words)
    if draw(st.booleans()):
        known = sorted(set("".join(words)) - {"."})
        out = draw(st.permutations(known))[: draw(st.integers(0, len(known)))]
        at = draw(st.integers(0, len(out)))
        spec += "->" + "".join(out[:at]) + ("..." if "..." in spec else "") + "".join(out[at:])
    return spec, shapes, draw(st.integers(0, 2**32 - 1))


@few
@given(sums())
def test_einsum_is_numpys(call):
    spec, shapes, seed = call
    arrays = whole_numbers(seed, *shapes)
    expected = np.asarray(np.einsum(spec, *arrays))
    value = tl.einsum(spec, *arrays)
    assert np.shape(value) == expected.shape
    assert np.array_equal(np.asarray(value), expected)
    compiled = tl.jit(lambda ops, *xs: ops.einsum(spec, *xs))(*arrays)
    assert bits(compiled) == bits(value)
    (w,) = whole_numbers(seed + 1, expected.shape)
    every = tuple(range(len(arrays)))
    grads = tl.grad(lambda ops, *xs: ops.sum(ops.mul(ops.einsum(spec, *xs), w)), argnums=every)(*arrays)
    (others,) = (whole_numbers(seed + 2, *shapes),)
    for k in every:
        changed = [others[k] if i == k else x for i, x in enumerate(arrays)]
        assert np.shape(grads[k]) == shapes[k]
        assert np.sum(np.asarray(grads[k]) * others[k]) == np.sum(np.einsum(spec, *changed) * w)


def test_einsum_of_many_operands():
    rng = np.random.default_rng(3)
    words = ["ab", "bc", "cd", "de", "ef", "fa", "ac"]
    arrays = [rng.standard_normal((3, 3)) for _ in words]
    spec = ",".join(words) + "->ad"
    np.testing.assert_allclose(np.asarray(tl.einsum(spec, *arrays)), np.einsum(spec, *arrays, optimize=True), rtol=1e-12)


def test_a_chain_is_contracted_in_the_cheap_order():
    """A long row times matrices is a row all along: no product of two matrices is made."""

    def products(ops, row, a, b, c):
        return ops.einsum("i,ij,jk,kl->l", row, a, b, c)

    compiled = tl.compile_out(products, [(40,), (40, 40), (40, 40), (40, 40)])
    made = [n.outputs[0] for n in compiled.plan.program.graph.nodes if n.record.name == "matmul"]
    assert len(made) == 3
    assert all(compiled.plan.program.graph.specs[v].size <= 40 for v in made)


def test_einsum_on_an_explicit_tape():
    tape, a = tl.Tape().leaf(np.ones((2, 3), np.float32))
    tape, b = tape.leaf(np.ones((3, 4), np.float32))
    tape, c = tape.leaf(np.ones(3, np.float32))
    tape, y = tape.einsum("ij,jk,j->jik", a, b, c)
    assert tape.get_value(y).shape == (3, 2, 4)
    tape, grids = tape.meshgrid(c, c)
    assert [tape.get_value(g).shape for g in grids] == [(3, 3), (3, 3)]


@pytest.mark.parametrize(
    ("spec", "shapes", "error", "message"),
    [
        ("ij,jk->ik", [(2, 3), (4, 5)], tl.ShapeError, "letter 'j' must have one size"),
        ("ij->ij", [(2, 3), (4, 5)], tl.OptionError, "of 2 operands, not of 1"),
        ("ij,jk->iz", [(2, 3), (3, 5)], tl.OptionError, "must occur in an operand"),
        ("ij->ii", [(2, 2)], tl.OptionError, "once in the result"),
        ("i1->i", [(2, 2)], tl.OptionError, "one letter"),
        ("ijk->i", [(2, 2)], tl.ShapeError, "3 letters 'ijk' for 2 axes"),
        ("i....j->i", [(2, 2)], tl.OptionError, "one ellipsis"),
        ("...i,...i->...", [(2, 3), (4, 3)], tl.ShapeError, "must broadcast"),
        ("ijk...->i", [(2, 2)], tl.ShapeError, "letters"),
    ],
)
def test_errors_of_einsum(spec, shapes, error, message):
    with pytest.raises(error, match=f"^einsum: .*{message}.*, got operands\\[0\\]: "):
        tl.einsum(spec, *(np.zeros(s) for s in shapes))


def test_letters_of_both_cases():
    x = np.arange(6.0).reshape(2, 3)
    for spec in ("aB", "Ba", "Zz", "zZ"):
        assert np.array_equal(np.asarray(tl.einsum(spec, x)), np.einsum(spec, x))
