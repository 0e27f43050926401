"""Every CUDA kernel on a device, or on the host emulation that `.ci/cuda` builds, against the reference backend and the CPU kernels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from op_calls import BAD, GOOD, assert_close, case, cast, clean, forward, specs_of
from test_kernels_optim import CASES as STEPS

import tlean as tl
from tlean import errors
from tlean.caching import Cache
from tlean.cuda.calls import table
from tlean.ops import get
from tlean.reference.interpreter import Reference

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

#: Relative tolerance against the reference in float64, in units of the largest value.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def ops():
    return tl.cuda.ops()


def as_device(ops, arrays):
    return [None if a is None else ops.leaf(a.astype("float32") if np.asarray(a).dtype.kind == "f" else a) for a in arrays]


def has_kernel(name):
    record = get(name)
    return record.view or record.kernel in table.KERNELS or (record.rules.kernel_params is None and record.rules.decompose is not None)


@pytest.mark.parametrize(("name", "k"), [c for c in GOOD if has_kernel(c[0])])
def test_forward(ops, name, k):
    """Outputs against the reference in float64, residuals against the CPU kernels'."""
    arrays, options, _ = case(name, k)
    record = get(name)
    tensors = cast(arrays, "float32")
    _, specs = record.infer(specs_of(tensors), options)
    made = [m.numpy() for m in ops.apply_all(name, as_device(ops, arrays), options)]
    n = len(record.outputs)
    for m, spec in zip(made, specs, strict=False):
        assert m.shape == spec.shape and m.dtype == spec.resolved("float32").dtype
    reference = Reference("float64" if not record.random else "float32")
    expected = reference.apply(name, tuple(None if t is None else t.numpy() for t in tensors), options)
    for m, e in zip(made[:n], expected if n > 1 else (expected,), strict=True):
        assert_close(m, np.asarray(e.value), TOLERANCE, f"{name} against the reference")
    for m, c in zip(made[n:], forward(name, tensors, options, "float32")[n:], strict=True):
        assert_close(m, c.numpy(), TOLERANCE, f"{name}: a residual against the CPU's")


@pytest.mark.parametrize(("name", "k"), [c for c in BAD if has_kernel(c[0])])
def test_bad_calls(ops, name, k):
    """The named error, with the op's name in its text; indices out of range are found on the device, and told at the next wait."""
    arrays, options, sample = case(name, k)
    with pytest.raises(getattr(errors, sample.raises), match=name.lstrip("_")):
        ops.apply_all(name, as_device(ops, arrays), options)
        # An index out of range is met on the device.
        tl.cuda.synchronize()


ATTENTION = [(n, k) for n, k in GOOD if n == "scaled_dot_product_attention"]


@pytest.mark.parametrize(("name", "k"), ATTENTION)
def test_attention_gradients(ops, name, k):
    arrays, options, _ = case(name, k)
    tensors = cast(arrays, "float32")
    options = clean(name, tensors, options)
    device = as_device(ops, arrays)
    y, *lse = ops.apply_all(name, device, options)
    if not lse:
        pytest.skip("arrays that broadcast run by parts, which have no such residual")
    (lse,) = lse
    g = np.random.default_rng(1).standard_normal(y.shape).astype("float32")
    made = ops._sdpa_grad(g, y, lse, *device, **options)
    known = [None if t is None else t.numpy() for t in tensors]
    expected = Reference("float64")._sdpa_grad(g, y.numpy(), lse.numpy(), *known, **options)
    for m, e in zip(made, expected, strict=True):
        assert_close(m.numpy(), np.asarray(e.value), TOLERANCE, "an attention gradient")


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", [None, "shared", "own"])
@pytest.mark.parametrize("sizes", [(2, 70, 150, 24, 10), (1, 129, 65, 66, 130)])
def test_attention_of_several_tiles(ops, sizes, mask, causal):
    """Both directions, and with values that are no numbers where every query is kept from them."""
    batch, n, m, h, w = sizes
    rng = np.random.default_rng(7)
    q, k, v = (rng.standard_normal((batch, *s)).astype("float32") for s in ((n, h), (m, h), (m, w)))
    allowed = None
    if mask:
        allowed = rng.random((n, m) if mask == "shared" else (batch, n, m)) < 0.7
        allowed[..., 5] = False
    given, options = [q, k, v, allowed], {"causal": causal}
    y, lse = ops.apply_all("scaled_dot_product_attention", given, options)
    reference = Reference("float64")
    expected = reference.apply("scaled_dot_product_attention", tuple(given), options)
    assert_close(y.numpy(), np.asarray(expected.value), TOLERANCE, "attention")
    g = rng.standard_normal(y.shape).astype("float32")
    made = ops._sdpa_grad(g, y, lse, *given, **options)
    for a, e in zip(made, reference._sdpa_grad(g, y.numpy(), lse.numpy(), *given, **options), strict=True):
        assert_close(a.numpy(), np.asarray(e.value), 5e-5, "an attention gradient")
    if mask:
        k[:, 5], v[:, 5] = np.nan, np.inf
        again, _ = ops.apply_all("scaled_dot_product_attention", [q, k, v, allowed], options)
        np.testing.assert_array_equal(again.numpy(), y.numpy())
        assert all(np.isfinite(a.numpy()).all() for a in ops._sdpa_grad(g, y, lse, q, k, v, allowed, **options))


@pytest.mark.parametrize("steps", STEPS)
def test_optimiser_steps(ops, steps):
    """Several steps of every optimiser against its formula in float64."""
    name, count, formula, hyper = STEPS[steps]
    rng = np.random.default_rng(0)
    p = rng.standard_normal((5, 7)).astype("float32")
    on_device = [ops.leaf(a) for a in (p, *[np.zeros_like(p)] * count)]
    wide, states = p.astype("float64"), [np.zeros(p.shape)] * count
    for t in range(1, 5):
        g = rng.standard_normal(p.shape).astype("float32")
        h = np.array(hyper(t), "float64")
        decay = 0.0 if name in ("_adam_step", "_amsgrad_step") and h[7] else h[2]
        wide, states = formula(wide, h[1] * g + decay * wide, states, h)
        on_device = ops.apply_all(name, [on_device[0], g, *on_device[1:], h], {})
    for m, e in zip(on_device, [wide, *states], strict=True):
        assert_close(m.numpy(), e, 5e-5, steps)


WINDOW = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
BIG = [
    ("matmul", [(130, 70), (70, 129)], {}),
    ("matmul", [(3, 65, 20), (3, 66, 20)], {"transpose_b": True}),
    ("conv2d", [(66, 3, 3, 3), (66,), (2, 3, 13, 11)], {"padding": 1}),
    ("_conv_grad_w", [(2, 66, 13, 11), (2, 3, 13, 11)], WINDOW),
    ("reduce_sum", [(40000,)], {"axis": 0}),
    ("reduce_sum", [(3, 20000, 2)], {"axis": 1}),
    ("reduce_sum", [(5, 130)], {"axis": 0}),
    ("reduce_sum", [(2, 300, 40)], {"axis": 1}),
    ("reduce_sum", [(2, 300, 33)], {"axis": (0, 2)}),
    ("reduce_sum", [(3, 0, 40)], {"axis": 1}),
    ("reduce_max", [(700, 2)], {"axis": 0}),
    ("permute", [(3, 45, 70)], {"axes": (0, 2, 1)}),
    ("permute", [(33, 3, 40, 9)], {"axes": (2, 1, 3, 0)}),
    ("softmax", [(2, 3000)], {}),
    ("log_softmax", [(2, 300, 3)], {"axis": 1}),
    ("layer_norm", [(3, 2500), (2500,), (2500,)], {}),
    ("add", [(1030,), (1030,)], {}),
    ("softmax", [(3, 700)], {}),
    ("layer_norm", [(5, 300), (300,), (300,)], {}),
    ("mse_loss", [(9000,), (9000,)], {}),
    ("scaled_dot_product_attention", [(2, 40, 70), (2, 37, 70), (2, 37, 130)], {"causal": True}),
    ("sort", [(4500, 2)], {"axis": 0}),
    ("_topk_index", [(2, 2500)], {"k": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shapes", "options"), BIG, ids=lambda v: v if isinstance(v, str) else "")
def test_more_than_one_tile(ops, name, shapes, options):
    rng = np.random.default_rng(2)
    arrays = [rng.standard_normal(s).astype("float32") for s in shapes]
    arrays += [None] * (len(get(name).inputs) - len(arrays))
    expected = Reference("float64").apply(name, tuple(arrays), options)
    found = ops.apply_all(name, arrays, options)[0].numpy()
    assert_close(found, np.asarray(expected.value), TOLERANCE, name)
    again = ops.apply_all(name, arrays, options)[0].numpy()
    assert found.tobytes() == again.tobytes()


def tf32(x):
    """Rounded to 10 bits of mantissa, ties away from zero."""
    bits = np.ascontiguousarray(x, "float32").view("uint32")
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view("float32")


#: Around the edges of every tile, few rows, few columns, long sums that are cut, none to sum.
PRODUCTS = [
    (1, 1, 1, 1),
    (1, 130, 129, 20),
    (2, 64, 65, 33),
    (1, 3, 200, 9),
    (1, 40, 7, 1100),
    (5, 33, 34, 17),
    (1, 5, 6, 0),
    (1, 1, 300, 700),
]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp64"])
@pytest.mark.parametrize("transposed", ["nn", "nt", "tn", "tt"])
def test_products(precision, transposed):
    ops = tl.cuda.ops(precision=precision)
    rng = np.random.default_rng(4)
    for batch, m, n, k in PRODUCTS:
        a, b = rng.standard_normal((batch, m, k)).astype("float32"), rng.standard_normal((batch, k, n)).astype("float32")
        given = [np.ascontiguousarray(x.swapaxes(1, 2)) if t == "t" else x for x, t in zip((a, b), transposed, strict=True)]
        options = {"transpose_a": transposed[0] == "t", "transpose_b": transposed[1] == "t"}
        found = ops.apply_all("matmul", given, options)[0].numpy()
        wide = [(tf32(x) if precision == "tf32" else x).astype("float64") for x in (a, b)]
        expected = wide[0] @ wide[1]
        if precision == "fp64":
            # One rounding: half a unit in the last place, and a second one where parts of a sum are added.
            np.testing.assert_allclose(found, expected, rtol=1.2e-7, atol=1e-5 if k > 500 else 1e-12)
        else:
            assert_close(found, expected, TOLERANCE, f"{precision} {batch} {m} {n} {k}")
        assert found.tobytes() == ops.apply_all("matmul", given, options)[0].numpy().tobytes()


def test_tiles_of_every_size_are_used():
    """What the shapes choose: large tiles where they fill a device, cuts of long sums where nothing else would."""
    from tlean.cuda.calls.table import plan_of
    from tlean.ops import Spec

    def functions(m, n, k):
        plan = plan_of(get("matmul"), (Spec((m, k)), Spec((k, n))), {"transpose_a": False, "transpose_b": False})
        return [launch.function for launch in plan.launches]

    assert functions(4096, 4096, 4096) == ["k_matmul_nn_128x128"]
    assert functions(512, 512, 512) == ["k_matmul_nn_64x64"]
    assert functions(16, 65536, 64) == ["k_matmul_nn_32x128"]
    assert functions(64, 64, 4096) == ["k_matmul_nn_64x64", "k_sum_parts"]


def test_large_tiles():
    for precision in ("fp32", "tf32"):
        rng = np.random.default_rng(5)
        a, b = rng.standard_normal((64, 130, 17)).astype("float32"), rng.standard_normal((64, 17, 70)).astype("float32")
        found = tl.cuda.ops(precision=precision).bmm(a, b).numpy()
        wide = [(tf32(x) if precision == "tf32" else x).astype("float64") for x in (a, b)]
        assert_close(found, wide[0] @ wide[1], TOLERANCE, precision)


#: (images, channels, outputs, size, kernel, stride, padding, dilation, groups): each tile, one and three axes, groups, direct ones.
CONVOLUTIONS = [
    (2, 5, 7, (9, 8), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (3, 66, 70, (7, 5), (3, 2), (2, 1), (1, 0), (1, 2), 1),
    (2, 8, 40, (21,), (5,), (2,), (2,), (1,), 2),
    (1, 4, 6, (5, 6, 4), (2, 3, 2), (1, 2, 1), (1, 1, 0), (2, 1, 1), 1),
    (2, 6, 6, (11, 9), (3, 3), (1, 2), (1, 1), (1, 1), 6),
    (2, 4, 8, (6, 7), (3, 3), (2, 1), (1, 2), (2, 1), 4),
]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp64"])
@pytest.mark.parametrize("k", range(len(CONVOLUTIONS)))
def test_convolutions(precision, k):
    images, c, o, size, kernel, stride, padding, dilation, groups = CONVOLUTIONS[k]
    ops = tl.cuda.ops(precision=precision)
    rng = np.random.default_rng(6)
    x = rng.standard_normal((images, c, *size)).astype("float32")
    w = rng.standard_normal((o, c // groups, *kernel)).astype("float32")
    b = rng.standard_normal(o).astype("float32")
    name = "conv"
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    reference = Reference("float64")
    rounded = tf32 if precision == "tf32" else np.asarray
    y = np.asarray(reference.apply(name, (rounded(w), b, rounded(x)), options).value)
    assert_close(ops.apply_all(name, [w, b, x], options)[0].numpy(), y, TOLERANCE, name)
    g = rng.standard_normal(y.shape).astype("float32")
    for gradient, given, more in (("_conv_grad_w", (g, x), {"kernel": kernel}), ("_conv_grad_x", (w, g), {"in_shape": size})):
        found = ops.apply_all(gradient, list(given), options | more)[0].numpy()
        expected = reference.apply(gradient, tuple(rounded(v) for v in given), options | more)
        assert_close(found, np.asarray(expected.value), TOLERANCE, gradient)


def test_sums_in_any_order():
    """Atomic kernels replace the others where the same bits are not required; the values and the faults are the same."""
    free, rng = tl.cuda.ops(deterministic=False), np.random.default_rng(8)
    index, v = rng.integers(0, 5, 40), rng.standard_normal((40, 3)).astype("float32")
    expected = np.zeros((5, 3))
    np.add.at(expected, index, v)
    assert_close(free._scatter_rows(v, index, shape=(5, 3)).numpy(), expected, TOLERANCE, "_scatter_rows")
    with pytest.raises(tl.IndexRangeError, match="scatter_add_row"):
        free.scatter_add_row(expected.astype("float32"), v[0], np.array(5)).numpy()


def test_layer_norm_gradients_of_many_rows(ops):
    rng = np.random.default_rng(9)
    g, x, gamma = (rng.standard_normal(s).astype("float32") for s in ((1100, 40), (1100, 40), (40,)))
    _, mean, rstd = ops.apply_all("layer_norm", [x, gamma, gamma], {})
    made = ops.apply_all("_layer_norm_grad", [g, x, gamma, mean, rstd], {"eps": 1e-5})
    expected = Reference("float64")._layer_norm_grad(g, x, gamma, mean.numpy(), rstd.numpy(), eps=1e-5)
    for m, e in zip(made, expected, strict=True):
        assert_close(m.numpy(), np.asarray(e.value), 5e-5, "a gradient of layer_norm")


def test_batch_norm_of_long_channels(ops):
    """Channels cut into slices: statistics far from zero, and their gradients."""
    rng = np.random.default_rng(10)
    x = (rng.standard_normal((7, 3, 30, 31)) + 50).astype("float32")
    g, gamma, beta = (rng.standard_normal(s).astype("float32") for s in (x.shape, (3,), (3,)))
    reference = Reference("float64")
    made = ops.apply_all("batchnorm_channel_first", [x, gamma, beta], {})
    mean, var = x.astype("float64").mean((0, 2, 3)), x.astype("float64").var((0, 2, 3))
    assert_close(made[0].numpy(), np.asarray(reference.batchnorm_channel_first(x, gamma, beta).value), 1e-4, "batch norm")
    assert_close(made[1].numpy(), mean, 1e-6, "the mean")
    assert_close(made[2].numpy(), 1 / np.sqrt(var + 1e-5), 1e-5, "the deviation")
    found = ops.apply_all("_batchnorm_grad", [g, x, gamma, made[1], made[2]], {"eps": 1e-5})
    expected = reference._batchnorm_grad(g, x, gamma, mean, 1 / np.sqrt(var + 1e-5), eps=1e-5)
    for m, e in zip(found, expected, strict=True):
        assert_close(m.numpy(), np.asarray(e.value), 1e-4, "a gradient of batch norm")


def test_corners(ops):
    """NaN, ties, infinities and blocked rows as on the CPU."""
    x = np.array([[1, np.nan, 3], [2, 5, 5], [-np.inf] * 3], "float32")
    values, index = ops.apply_all("reduce_max", [x], {"axis": 1})
    np.testing.assert_array_equal(values.numpy(), np.array([np.nan, 5, -np.inf], "float32"))
    assert index.numpy().tolist() == [1, 1, 0]
    assert ops.argmax(x, axis=1).numpy().tolist() == [1, 1, 0]
    np.testing.assert_array_equal(ops.relu(x[0]).numpy(), x[0])
    assert math.isinf(ops.logsumexp(x[2]).numpy())
    q = np.ones((2, 3), "float32")
    v = np.array([[np.inf, np.nan], [1, 2]], "float32")
    y, lse = ops.apply_all("scaled_dot_product_attention", [q, q, v, np.array([[False, True], [False, False]])], {})
    assert y.numpy().tolist() == [[1, 2], [0, 0]] and lse.numpy()[1] == -np.inf


def test_no_op_falls_back(ops, monkeypatch):
    monkeypatch.delitem(table.KERNELS, "relu")
    monkeypatch.setattr("tlean.cuda.calls.call._CALLS", Cache(8))
    with pytest.raises(tl.DeviceError, match="relu: there is no CUDA kernel"):
        ops.relu(np.ones(3, "float32"))
    with pytest.raises(tl.DTypeError, match="float32, not float64"):
        ops.tanh(np.ones(3))
    with pytest.raises(tl.OptionError, match="rand_uniform: takes a seed"):
        ops.rand_uniform(shape=(3,))


def test_parts_and_composites_run_on_the_device(ops):
    """What other ops make up needs no kernel: a product by einsum, a loss of log-probabilities."""
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 4, 4)).astype("float32")
    found = ops.einsum("ij,jk->ik", ops.leaf(a), ops.leaf(b)).numpy()
    assert_close(found, a.astype("float64") @ b, TOLERANCE, "einsum")
    labels = np.array([0, 3, 1, 1])
    log_p = ops.log_softmax(ops.leaf(a))
    found = ops.nll_loss(log_p, ops.leaf(labels)).numpy()
    assert_close(found, ops.cross_entropy(ops.leaf(a), labels).numpy(), TOLERANCE, "nll_loss")


@pytest.mark.parametrize("steps", STEPS)
def test_one_launch_updates_all_parameters(ops, steps):
    """In place, and bit for bit what the op computes for each parameter alone; sizes around a chunk and around a load of four."""
    from tlean.cuda.step import step_all_at

    name, count, _, hyper = STEPS[steps]
    rng = np.random.default_rng(0)
    shapes = [(5, 7), (), (4096,), (4097,), (0, 3), (2, 4100), (3,)]
    params = [ops.leaf(rng.standard_normal(s).astype("float32")) for s in shapes]
    states = [[ops.leaf(np.zeros(s, "float32")) for _ in range(count)] for s in shapes]
    for t in range(1, 4):
        grads = [ops.leaf(rng.standard_normal(s).astype("float32")) for s in shapes]
        h = ops.leaf(np.array(hyper(t), "float64"))
        alone = [ops.apply_all(name, [p, g, *s, h], {}) for p, g, s in zip(params, grads, states, strict=True)]
        step_all_at(ops.context, name, hyper(t), params, grads, states)
        for p, s, expected in zip(params, states, alone, strict=True):
            for found, e in zip((p, *s), expected, strict=True):
                np.testing.assert_array_equal(found.numpy(), e.numpy(), strict=True)
    with pytest.raises(tl.ShapeError, match="have the parameter's shape"):
        step_all_at(ops.context, name, hyper(1), params, grads[1:] + grads[:1], states)


@pytest.mark.parametrize("n", [0, 1, 4, 1027])
def test_accumulating(ops, n):
    from tlean.cuda.runtime.array import accumulate

    x, y = np.random.default_rng(0).standard_normal((2, n + 1)).astype("float32")
    whole, part = ops.leaf(x), ops.leaf(y)
    accumulate(whole, part)
    np.testing.assert_array_equal(whole.numpy(), x + y)
    with pytest.raises(tl.ShapeError, match="contribution of shape"):
        accumulate(whole, ops.leaf(np.float32(1)))


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool"])
def test_integers_with_floats(dtype):
    """A mixed call is one node with the CPU's value, and the gradient is the float operand's; integers are moved exactly."""
    rng = np.random.default_rng(11)
    x, n = rng.normal(size=(3, 4)).astype("float32"), (np.arange(12).reshape(3, 4) % 5 - 2).astype(dtype)
    big = (n.astype("int64") * (2**40 + 1) if dtype == "int64" else n).astype(dtype)
    found = []
    for s in (tl.Session(dtype="float32"), tl.Session(device="cuda")):
        array = tl.AnyTensor if s.options.device == "cpu" else tl.cuda.to_device
        a, b, c = s.leaf(x), s.add_leaf(array(n)), s.add_leaf(array(big))
        y = s.sum(s.mul(s.sin(s.mul(a, b)), a))
        moved = [s.permute(c, axes=(1, 0)), s.concat([c, c], axis=1), s.slice(c, starts=(0, 1), stops=(3, 4)), s.reshape(c, (4, 3))]
        moved += [
            s.pad(c, widths=((1, 0), (0, 2)), value=1.0),
            s.broadcast_to(c, shape=(2, 3, 4)),
            s.gather_rows_nat(c, np.array([2, 0, 7])),
            c[::-1, [3, 0]],
            c.at[[1, 0, 1], 2].set(c[0, :3]),
            c.at[:, ::-2].set(c[:, 2:]),
            c.at[1].set(True),
            s.dynamic_slice(c, (1, 2), (2, 2)),
        ]
        assert [m.dtype for m in moved] == [dtype] * len(moved)
        grads = s.backward_scalar(y)
        assert set(grads) >= {a.id} and b.id not in grads
        found.append([y.numpy(), grads[a.id].numpy(), *(m.numpy() for m in moved)])
    for cpu, cuda in zip(*found, strict=True):
        assert cpu.dtype == cuda.dtype
        (np.testing.assert_array_equal if cpu.dtype.kind != "f" else lambda p, q: assert_close(p, q, TOLERANCE, dtype))(cpu, cuda)
    specs = [tl.Spec((3, 4), "float32"), tl.Spec((3, 4), dtype)]
    programs = [
        tl.compile_out(lambda ops, a, b: (ops.exp(ops.mul(a, b)), ops.permute(b, axes=(1, 0)), b), specs, device=d) for d in ("cpu", "cuda")
    ]
    for cpu, cuda in zip(programs[0](x, n), programs[1](x, n), strict=True):
        assert cpu.dtype == cuda.dtype
        assert_close(cuda.numpy(), cpu.numpy(), TOLERANCE, dtype)


@pytest.mark.parametrize("source", ["float32", "int64", "int32", "bool"])
@pytest.mark.parametrize("target", ["float32", "int64", "int32", "bool"])
def test_conversions(source, target):
    values = (
        np.array([0.0, 1.5, -2.7, 3e9, -1e30, np.nan, np.inf, -np.inf])
        if source == "float32"
        else np.array([0, 1, -7, 2**31 - 1, 2**24 + 1])
    )
    x = tl.AnyTensor(values.astype(source))
    ops, device = tl.Session(dtype="float32"), tl.Session(device="cuda")
    wanted = ops.apply(f"_as_{target}", (ops.add_leaf(x),), {}).numpy()
    made = device.apply(f"_as_{target}", (device.add_leaf(tl.cuda.to_device(x)),), {}).numpy()
    assert made.dtype == wanted.dtype
    np.testing.assert_array_equal(made, wanted)


def test_float64_is_refused_by_name():
    with pytest.raises(tl.DeviceError, match=r"CUDA computes in float32, not float64|no CUDA kernel named 'as_float64'"):
        tl.compile_out(lambda ops, a, b: ops.mul(a, b), [tl.Spec((3,), "float32"), tl.Spec((3,), "float64")], device="cuda")
    s = tl.Session(device="cuda")
    with pytest.raises(tl.DTypeError, match="on CUDA b is float32, not float64"):
        s.mul(s.leaf(np.ones(3)), s.add_leaf(np.ones(3)))
