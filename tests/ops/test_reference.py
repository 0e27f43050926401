"""The reference backend: its definitions against cases computed by hand, against each other, and exactly in fractions."""

from __future__ import annotations

from fractions import Fraction
from math import inf, isnan, nan

import numpy as np
import pytest
from oracles import ELEMENTWISE, draw

from tlean import errors
from tlean.ops import Spec, all_ops, get
from tlean.reference.definitions import CREATORS, DEFINITIONS
from tlean.reference.definitions.elementwise import formula_of
from tlean.reference.definitions.random import philox4x32, stream_seed
from tlean.reference.interpreter import Reference

F = Fraction
RECORDS = list(all_ops())
SAMPLES = [(r.name, k) for r in RECORDS if r.samples for k in range(len(r.samples()))]


def call(ops, name, k, dtype="float64"):
    record = get(name)
    sample = record.samples()[k]
    rng = np.random.default_rng(1000 + k)
    arrays = [draw(a, rng, dtype) for a in sample.args]
    # A sample may leave out optional inputs at the end.
    return sample, arrays + [None] * (0 if record.variadic else len(record.inputs) - len(arrays))


def run(ops, name, arrays, options):
    made = ops.apply(name, tuple(arrays), options)
    return made if isinstance(made, tuple) else (made,)


def values(x):
    return x.value.tolist()


# Every op ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [r.name for r in RECORDS])
def test_every_op_has_a_meaning(name):
    record = get(name)
    assert name in DEFINITIONS or name in CREATORS or formula_of(name) or record.rule("decompose")


@pytest.mark.parametrize(("name", "k"), SAMPLES)
def test_samples(name, k):
    """Good calls have the inferred shapes and agree with the decomposition; bad calls raise what they say."""
    ops = Reference("longdouble")
    record = get(name)
    sample, arrays = call(ops, name, k)
    if sample.raises:
        with pytest.raises(getattr(errors, sample.raises)) as caught:
            run(ops, name, arrays, sample.options)
        assert record.name.lstrip("_") in str(caught.value)
        return
    named = zip(record.input_names(len(arrays)), arrays, strict=True)
    refs = [None if a is None else ops.const(a) if n in record.whole_inputs or a.dtype == bool else ops.leaf(a) for n, a in named]
    made = run(ops, name, refs, sample.options)
    clean, outs = record.infer(tuple(None if r is None else Spec(r.shape, r.dtype) for r in refs), sample.options)
    assert [y.shape for y in made] == [o.shape for o in outs[: len(made)]]
    if record.rule("decompose") is None or (record.random and refs[record.inputs.index("seed")] is None):
        return
    parts = record.rules.decompose(ops, *refs, **clean)
    for y, z in zip(made, parts if isinstance(parts, tuple) else (parts,), strict=True):
        np.testing.assert_allclose(np.asarray(z.value), np.asarray(y.value), rtol=1e-14, atol=1e-14, err_msg=name)


@pytest.mark.parametrize(("name", "k"), [(n, k) for n, k in SAMPLES if n in ELEMENTWISE])
def test_elementwise_against_numpy(name, k):
    """The formulas agree with NumPy, written by hand."""
    sample, arrays = call(None, name, k)
    if sample.raises:
        return
    (y,) = run(Reference(), name, arrays, sample.options)
    with np.errstate(all="ignore"):
        expected = ELEMENTWISE[name](*arrays, **sample.options)
    np.testing.assert_allclose(y.value, expected, rtol=4e-15, atol=1e-15)


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_elementwise_at_special_values(name):
    """Signed zeros, infinities and NaN, as NumPy has them."""
    special = np.array([0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 1e300, -1e300, 5e-324])
    record = get(name)
    options = next(s.options for s in record.samples() if not s.raises)
    if name == "gelu":
        special = np.array([0.0, -0.0, 1.0, -1.0, 30.0, -30.0, 5e-324])
    arrays = [v.ravel() for v in np.meshgrid(*[special] * len(record.inputs))]
    (y,) = run(Reference(), name, arrays, options)
    with np.errstate(all="ignore"):
        expected = ELEMENTWISE[name](*arrays, **options)
    if name == "silu":
        # x/(1 + e^(−x)) is 0/∞ where x·σ(x) is −∞·0.
        keep = arrays[0] != -inf
        np.testing.assert_allclose(y.value[keep], expected[keep], rtol=4e-15)
    else:
        np.testing.assert_allclose(y.value, expected, rtol=4e-15, atol=1e-300)


@pytest.mark.parametrize("scalar", ["float32", "float64", "longdouble"])
def test_every_float_computes_in_itself(scalar):
    ops = Reference(scalar)
    x = ops.leaf([0.1, 0.2])
    y = ops.tanh(x * 0.5 + 1.0)
    assert y.value.dtype == np.dtype(scalar)
    assert y.dtype == ops.dtype


def test_longdouble_is_more_exact_than_double():
    third = Reference("longdouble").leaf(np.array(1, dtype=np.longdouble) / 3)
    y = third.ops.erf(third).value
    # erf(1/3), from a table with 30 digits.
    assert abs(y - np.longdouble("0.362648111766062933408178914734")) < 1e-18


# Fractions --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "k"), SAMPLES)
def test_fractions(name, k):
    """An algebraic op is exact, and close to the floats; any other raises DTypeError that names it."""
    record = get(name)
    sample, arrays = call(None, name, k)
    finite = all(a is None or np.all(np.isfinite(a)) for a in arrays)
    # A bound of None is an infinity.
    infinite = any(v is None or (isinstance(v, float) and v in (inf, -inf)) for v in sample.options.values()) or (
        name == "clamp" and len(sample.options) < 2
    )
    if sample.raises or not finite or infinite:
        return
    exact = Reference(Fraction)
    try:
        made = run(exact, name, arrays, sample.options)
    except errors.DTypeError as error:
        assert str(error).startswith(name.lstrip("_") + ":")
        # A power is rational or not according to its exponent.
        assert not record.algebraic or name in ("pow", "_pow_grad")
        return
    except errors.NumericsError:
        assert any((a == 0).any() for a in arrays if a is not None)
        return
    for y, z in zip(made, run(Reference("longdouble"), name, arrays, sample.options), strict=True):
        if y.dtype == "fraction":
            assert all(isinstance(v, Fraction) for v in y.value.flat)
        np.testing.assert_allclose(y.value.astype(np.longdouble), z.value, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sigmoid", "softmax", "layer_norm", "cross_entropy", "smooth_max_pool"])
def test_irrational_ops_say_so(name):
    record = get(name)
    k = next(k for k, s in enumerate(record.samples()) if not s.raises)
    sample, arrays = call(None, name, k)
    with pytest.raises(errors.DTypeError, match=f"^{name}: takes floats"):
        run(Reference(Fraction), name, arrays, sample.options)


def test_fractions_are_exact():
    ops = Reference(Fraction)
    a = ops.leaf([[1, 2], [3, 4]]) / 10
    b = ops.leaf([[F(1, 3), F(1, 7)], [F(2, 3), F(5, 7)]])
    assert values(a + b) == [[F(13, 30), F(12, 35)], [F(29, 30), F(39, 35)]]
    assert values(a @ b) == [[F(1, 6), F(11, 70)], [F(11, 30), F(23, 70)]]
    assert values(ops.mean(a)) == F(1, 4)
    assert values(ops.mse_loss(a, b)) == sum((p - q) ** 2 for p, q in zip(a.value.flat, b.value.flat, strict=True)) / 4
    assert values(a * F(1, 3) - 1) == [[F(-29, 30), F(-14, 15)], [F(-9, 10), F(-13, 15)]]
    assert values(1 / a) == [[10, 5], [F(10, 3), F(5, 2)]]
    assert values(a**2) == [[F(1, 100), F(1, 25)], [F(9, 100), F(4, 25)]]


def test_fractions_have_no_nan_and_no_infinity():
    ops = Reference(Fraction)
    with pytest.raises(errors.DTypeError):
        ops.leaf([nan])
    with pytest.raises(errors.NumericsError, match=r"^div: "):
        ops.div([F(1)], [F(0)])
    with pytest.raises(errors.DTypeError, match=r"^pow: "):
        ops.pow([F(2)], 0.5)


# Cases computed by hand -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ops():
    return Reference(Fraction)


def test_layout(ops):
    x = np.arange(6).reshape(2, 3)
    assert values(ops.transpose2d(x)) == [[0, 3], [1, 4], [2, 5]]
    assert values(ops.broadcast_to(ops.leaf([1, 2]), (2, 3), axis_map=(0,))) == [[1, 1, 1], [2, 2, 2]]
    assert values(ops.broadcast_to(ops.leaf([[1], [2]]), (2, 2))) == [[1, 1], [2, 2]]
    assert values(ops.concat((ops.leaf([1]), ops.leaf([2, 3])), axis=0)) == [1, 2, 3]
    assert values(ops.stack((ops.leaf([1, 2]), ops.leaf([3, 4])), axis=1)) == [[1, 3], [2, 4]]
    assert values(ops.slice(x, (0, 0), (2, 3), (1, 2))) == [[0, 2], [3, 5]]
    assert values(ops.pad(ops.leaf([1]), ((1, 2),), value=0.5)) == [F(1, 2), 1, F(1, 2), F(1, 2)]
    cube = np.arange(24).reshape(2, 3, 4)
    assert ops.transpose3d_first_to_last(cube).value[1, 2, 0] == cube[0, 1, 2]
    assert ops.transpose3d_last_to_first(cube).value[2, 0, 1] == cube[0, 1, 2]
    assert ops.transpose3d_last_two(cube).value[0, 2, 1] == cube[0, 1, 2]
    assert ops.swap_adjacent_at_depth(cube, 1).shape == (2, 4, 3)
    assert ops.swap_adjacent_at_depth(cube, 2).shape == (2, 3, 4)
    assert ops.permute(cube, (1, 2, 0)).shape == (3, 4, 2)


def test_indexing(ops):
    x = ops.leaf([10, 20, 30])
    assert values(ops.gather_scalar(x, 1)) == 20
    assert values(ops.gather_vec_nat(x, [2, -1, 2, 3])) == [30, 0, 30, 0]
    assert values(ops.gather_scalar_nat(x, 3)) == 0
    assert values(ops.scatter_add_vec(x, ops.leaf(F(1, 2)), 2)) == [10, 20, F(61, 2)]
    table = ops.leaf([[1, 2], [3, 4]])
    assert values(ops.gather_rows_nat(table, [1, 5])) == [[3, 4], [0, 0]]
    assert values(ops.scatter_add_row(table, ops.leaf([10, 20]), 0)) == [[11, 22], [3, 4]]
    with pytest.raises(errors.IndexRangeError, match=r"^gather_scalar: "):
        ops.gather_scalar(x, 3)
    with pytest.raises(errors.IndexRangeError):
        ops.gather_row(table, -1)


def test_reductions(ops):
    x = ops.leaf([[3, 1, 3], [5, 5, 0]])
    assert values(ops.reduce_sum(x, 0)) == [8, 6, 3]
    assert values(ops.reduce_mean(x, (0, 1), keepdims=True)) == [[F(17, 6)]]
    assert values(ops.reduce_max(x, 1)) == [3, 5]
    assert values(ops.argmax(x)) == [0, 0]
    assert values(ops.cumsum(x, 1)) == [[3, 4, 7], [5, 10, 10]]
    assert values(ops.sum(ops.leaf(np.zeros((0, 3))))) == 0


def test_linear_and_matmul(ops):
    w, b, x = ops.leaf([[1, 2], [3, 4], [5, 6]]), ops.leaf([1, 0, -1]), ops.leaf([1, F(1, 2)])
    assert values(ops.linear(w, b, x)) == [3, 5, 7]
    assert values(ops.linear(w, None, x)) == [2, 5, 8]
    a = ops.leaf([[1, 2, 3]])
    assert values(ops.matmul(a, a, transpose_b=True)) == [[14]]
    assert values(ops.matmul(a, a, transpose_a=True)) == [[1, 2, 3], [2, 4, 6], [3, 6, 9]]
    assert values(ops.bmm(ops.leaf([[[1, 2]], [[3, 4]]]), ops.leaf([[[1], [1]], [[1], [-1]]]))) == [[[3]], [[-1]]]


def test_convolution(ops):
    w, x = ops.leaf([[[1, 2]]]), ops.leaf([[1, 2, 3]])
    assert values(ops.conv(w, None, x)) == [[5, 8]]
    assert values(ops.conv(w, ops.leaf([10]), x, padding=1)) == [[12, 15, 18, 13]]
    assert values(ops.conv(w, None, x, padding=1, stride=2)) == [[2, 8]]
    assert values(ops.conv(w, None, x, dilation=2)) == [[7]]
    grouped = ops.conv(ops.leaf([[[1]], [[2]]]), None, ops.leaf([[1, 2], [3, 4]]), groups=2)
    assert values(grouped) == [[1, 2], [6, 8]]
    image = ops.leaf(np.arange(9).reshape(1, 3, 3))
    assert values(ops.conv2d(ops.leaf(np.ones((1, 1, 2, 2), int)), None, image)) == [[[8, 12], [20, 24]]]


def test_transposed_convolution(ops):
    w, x = ops.leaf([[[1, 2]]]), ops.leaf([[1, 2, 3]])
    assert values(ops.conv_transpose(w, None, x)) == [[1, 4, 7, 6]]
    assert values(ops.conv_transpose(w, None, x, stride=2)) == [[1, 2, 2, 4, 3, 6]]
    assert values(ops.conv_transpose(w, ops.leaf([1]), x, stride=2, padding=1, output_padding=1)) == [[3, 3, 5, 4, 7]]


def test_transposed_convolution_is_the_adjoint(ops):
    rng = np.random.default_rng(3)
    w, x, g = (ops.leaf(rng.integers(-3, 4, s)) for s in ((4, 2, 3, 2), (2, 4, 7, 5), (2, 4, 4, 6)))
    window = {"stride": (2, 1), "padding": (1, 1), "groups": 2}
    y = ops.conv(w, None, x, **window)
    assert y.shape == g.shape
    back = ops.conv_transpose(w, None, g, **window)
    assert values(ops.sum(ops.mul(y, g))) == values(ops.sum(ops.mul(x, back)))


def test_pools(ops):
    x = ops.leaf([[[1, 2, -3], [4, -5, 6], [-7, -8, -9]]])
    assert values(ops.max_pool2d(x, 2, 1)) == [[[4, 6], [4, 6]]]
    assert values(ops.avg_pool2d(x, 2, 1)) == [[[F(1, 2), 0], [-4, -4]]]
    negative = ops.leaf([[-1, -2]])
    assert values(ops.max_pool(negative, (2,), 1, 1)) == [[-1, -1, -2]]
    assert values(ops.max_pool(negative, (2,), 1, 1, pad_value=0.0)) == [[0, -1, 0]]
    assert values(ops.avg_pool(negative, (2,), 1, 1)) == [[F(-1, 2), F(-3, 2), -1]]
    floats = Reference()
    assert values(floats.max_pool([[1.0, nan, 3.0]], (2,), 1))[0][0] != values(floats.max_pool([[1.0, nan, 3.0]], (2,), 1))[0][0]
    smooth = floats.smooth_max_pool([[1000.0, 1000.0]], (2,), 2.0)
    np.testing.assert_allclose(smooth.value, [[1000 + np.log(2) / 2]])


def test_norms():
    ops = Reference()
    x = np.array([[1.0, 3.0], [0.0, 4.0]])
    np.testing.assert_allclose(ops.layer_norm(x, eps=0.0).value, [[-1, 1], [-1, 1]])
    np.testing.assert_allclose(ops.layer_norm(x, [2.0, 2.0], [1.0, 0.0], eps=3.0).value, [[0, 1], [1 - 4 / np.sqrt(7), 4 / np.sqrt(7)]])
    image = np.array([[[1.0, 3.0]], [[0.0, 4.0]]])
    np.testing.assert_allclose(ops.batchnorm_channel_first(image, [1.0, 2.0], [0.0, 1.0], eps=0.0).value, [[[-1, 1]], [[-1, 3]]])
    batch = np.array([[[[1.0]], [[0.0]]], [[[3.0]], [[4.0]]]])
    mean, var = ops.batch_stats(batch)
    np.testing.assert_allclose(mean.value, [2, 2])
    np.testing.assert_allclose(var.value, [1, 4])


def test_attention():
    ops = Reference()
    v = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    zero = np.zeros((3, 4))
    np.testing.assert_allclose(ops.scaled_dot_product_attention(zero, zero, v).value, [[1, 1]] * 3)
    np.testing.assert_allclose(ops.scaled_dot_product_attention(zero, zero, v, causal=True).value, [[1, 0], [0.5, 0.5], [1, 1]])
    mask = np.array([[False, False, False], [True, False, True], [False, False, True]])
    np.testing.assert_allclose(ops.scaled_dot_product_attention(zero, zero, v, mask).value, [[0, 0], [1.5, 1], [2, 2]])
    q, k = np.array([[2.0]]), np.array([[np.log(2.0)], [0.0]])
    np.testing.assert_allclose(ops.scaled_dot_product_attention(q, k, [[1.0], [0.0]]).value, [[0.8]])
    one = np.eye(2)
    x = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(ops.multi_head_attention(one, one, one, 3 * one, x, num_heads=2).value, 3 * x)


def test_softmax_and_losses():
    ops = Reference()
    logits = np.log(np.array([[1.0, 3.0], [2.0, 2.0]]))
    np.testing.assert_allclose(ops.softmax(logits).value, [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(ops.softmax([1e4, 1e4]).value, [0.5, 0.5])
    assert values(ops.softmax(7.0)) == 1
    assert values(ops.log_softmax(7.0)) == 0
    np.testing.assert_allclose(ops.logsumexp([[0.0, 0.0]]).value, [np.log(2)])
    np.testing.assert_allclose(ops.cross_entropy(logits, [1, 0]).value, -(np.log(0.75) + np.log(0.5)) / 2)
    np.testing.assert_allclose(ops.cross_entropy(logits, [1, 0], [1.0, 3.0]).value, -(3 * np.log(0.75) + np.log(0.5)) / 4)
    np.testing.assert_allclose(ops.cross_entropy(logits, [1, 7], ignore_index=7).value, -np.log(0.75))
    np.testing.assert_allclose(ops.cross_entropy(logits[:1], [1], label_smoothing=0.5).value, -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert isnan(values(ops.cross_entropy(logits, [7, 7], ignore_index=7)))
    with pytest.raises(errors.IndexRangeError, match=r"^cross_entropy: "):
        ops.cross_entropy(logits, [0, 2])
    np.testing.assert_allclose(ops.bce_with_logits([0.0, 800.0], [1.0, 1.0], reduction="none").value, [np.log(2), 0])
    exact = Reference(Fraction)
    assert values(exact.mse_loss([1, 2], [0, F(1, 2)])) == F(13, 8)
    assert values(exact.l1_loss([1, 2], [0, F(1, 2)])) == F(5, 4)
    assert values(exact.huber_loss([3, F(1, 2)], [0, 0], reduction="none")) == [F(5, 2), F(1, 8)]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_composites_equal_their_definitions(reduction):
    ops, rng = Reference(), np.random.default_rng(0)
    a, b, w, labels = rng.standard_normal((4, 3)), rng.standard_normal((4, 3)), rng.uniform(0.5, 2, 3), np.array([0, 2, 1, 2])
    calls = [
        ("l1_loss", (a, b), {}),
        ("huber_loss", (a, b), {"delta": 0.7}),
        ("nll_loss", (a, labels, w), {"ignore_index": 1}),
        ("nll_loss", (a, labels, None), {}),
    ]
    for name, arrays, options in calls:
        found = getattr(ops, name)(*arrays, reduction=reduction, **options)
        np.testing.assert_allclose(found.value, DEFINITIONS[name](*arrays, reduction=reduction, **options), rtol=1e-14)


@pytest.mark.parametrize("spec", ["ij,jk->ik", "bij,bkj->bik", "ij,ij->", "i,j->ji", "abc,cd->adb", "ab,a->b", "ij,kj->", "abc,b->ca"])
def test_einsum(spec):
    letters = dict(zip("abcdijk", (2, 3, 4, 5, 3, 4, 2), strict=True))
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal([letters[c] for c in word]) for word in spec.partition("->")[0].split(","))
    np.testing.assert_allclose(Reference().einsum(spec, a, b).value, np.einsum(spec, a, b), rtol=1e-13, atol=1e-14)


# Random numbers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, words):
    """Random123's published vectors for philox4x32-10."""
    assert philox4x32(counter, key) == words


def test_random_ops():
    double, exact = Reference("float64", seed=5), Reference(Fraction)
    u = double.rand_uniform((3, 5), 7)
    assert u.shape == (3, 5) and ((u.value >= 0) & (u.value < 1)).all()
    assert [float(v) for v in exact.rand_uniform((3, 5), 7).value.flat] == u.value.ravel().tolist()
    assert values(double.rand_uniform((3,), 7)) == u.value.ravel()[:3].tolist()
    single = Reference("float32").rand_uniform((2,), 0).value
    assert single.tolist() == [(0x6627E8D5 >> 8) / 2**24, (0xE169C58D >> 8) / 2**24]
    mask = double.bernoulli_mask(0.5, (3, 5), 7)
    assert (mask.value == (u.value < 0.5)).all()
    x = double.leaf(np.ones((3, 5)))
    assert (double.dropout(x, 0.25, 7).value == (u.value < 0.75) / 0.75).all()
    assert (double.dropout(x, 0.25, 7, train=False).value == 1).all()
    assert values(double.rand_uniform((2,))) == values(double.rand_uniform((2,), stream_seed(5, 0)))
    assert values(double.rand_uniform((2,))) == values(double.rand_uniform((2,), stream_seed(5, 1)))


# The backend ------------------------------------------------------------------------------------------------------------------


def test_refs_belong_to_one_backend():
    a, b = Reference(), Reference()
    with pytest.raises(errors.NodeError):
        a.relu(b.leaf([1.0]))


def test_kinds_of_number():
    with pytest.raises(errors.DTypeError):
        Reference("complex128")
    with pytest.raises(errors.DTypeError):
        Reference(str.upper)
    with pytest.raises(errors.DTypeError):
        Reference().leaf([1j])
    with pytest.raises(errors.DTypeError):
        Reference().gather_scalar([1.0, 2.0], 0.5)


def test_constants_keep_integers():
    ops = Reference()
    assert ops.const([1, 2]).dtype == "int64"
    assert ops.const([True]).dtype == "bool"
    assert ops.const([1.0]).dtype == "float64"
    assert ops.leaf([1, 2]).dtype == "float64"
