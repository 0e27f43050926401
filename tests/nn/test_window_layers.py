"""Layers of convolutions with padding by name, of pools with their further options and of images: that each option reaches its op."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean import nn

X = np.arange(2 * 3 * 7 * 7, dtype=float).reshape(2, 3, 7, 7) % 11
LAYERS = [
    (nn.MaxPool2d(3, 2, 1, 2, True), lambda x: tl.max_pool(x, (3, 3), 2, 1, dilation=2, ceil_mode=True), "dilation=2, ceil_mode=True"),
    (nn.MaxPool2d(3), lambda x: tl.max_pool(x, (3, 3)), "(3, 3), stride=(3, 3))"),
    (nn.AvgPool2d(3, 2, 1, True), lambda x: tl.avg_pool(x, (3, 3), 2, 1, True), "ceil_mode=True"),
    (nn.AvgPool2d(3, 2, 1, count_include_pad=False), lambda x: tl.avg_pool(x, (3, 3), 2, 1, False, False), "count_include_pad=False"),
    (nn.AvgPool2d(2, divisor_override=3), lambda x: tl.avg_pool(x, (2, 2), divisor_override=3), "divisor_override=3"),
    (nn.AdaptiveAvgPool2d((3, None)), lambda x: tl.adaptive_avg_pool(x, (3, 7)), "(3, None)"),
    (nn.Upsample(None, 1.5, "bilinear", True), lambda x: tl.interpolate(x, None, 1.5, "bilinear", True), "mode='bilinear'"),
    (nn.PixelUnshuffle(7), lambda x: tl.pixel_unshuffle(x, 7), "factor=7"),
    (nn.ChannelShuffle(3), lambda x: tl.channel_shuffle(x, 3), "groups=3"),
    (nn.LocalResponseNorm(2, 0.5, 0.25, 2.0), lambda x: tl.local_response_norm(x, 2, 0.5, 0.25, 2.0), "beta=0.25"),
    (nn.LPPool2d(3.0, 2, 1, True), lambda x: tl.lp_pool(x, 3.0, (2, 2), 1, True), "3.0, (2, 2), stride=(1, 1), ceil_mode=True"),
    (nn.AdaptiveMaxPool2d(2), lambda x: tl.adaptive_max_pool(x, (2, 2)), "(2, 2)"),
]


def called(layer, x):
    ops = tl.Session()
    return np.asarray(layer(ops, ops.const(x)))


@pytest.mark.parametrize(("layer", "expected", "shown"), LAYERS, ids=lambda v: type(v).__name__)
def test_options_reach_the_op(layer, expected, shown):
    assert called(layer, X).tolist() == np.asarray(expected(X.astype(np.float32))).tolist()
    assert shown in repr(layer)


def test_convolutions_with_padding_by_name():
    layer = nn.Conv2d(3, 2, (2, 4), padding="same", dilation=(3, 1))
    assert called(layer, X).shape == (2, 2, 7, 7)
    assert "padding=same" in repr(layer)


def test_dropout_is_for_training():
    for layer, op in ((nn.AlphaDropout(0.5), tl.alpha_dropout), (nn.FeatureDropout(0.5), tl.feature_dropout)):
        assert called(layer, X).shape == X.shape
        assert called(layer, X).tolist() != X.tolist()
        assert called(layer.eval(), X).tolist() == X.tolist()
        assert np.asarray(op(X, 0.5, 1)).shape == X.shape


def test_bags():
    layer = nn.EmbeddingBag(5, 3, "sum")
    table = layer.weight.get().numpy()
    ops = tl.Session()
    np.testing.assert_allclose(np.asarray(layer(ops, np.array([[1, 4]]))), table[1:2] + table[4:], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(layer(ops, np.array([1, 4]), np.array([0, 2]))), [table[1] + table[4], [0, 0, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 2, 3, stride=2, padding="same"), "padding='same' must go with a stride of 1"),
        (lambda: nn.Conv2d(3, 2, 3, padding="full"), "'same' or 'valid'"),
        (lambda: nn.ConvTranspose2d(3, 2, 3, padding="same"), "padding must be an int, or one for each axis"),
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), "size must have 2 entries"),
        (lambda: nn.Upsample(), "size or scale_factor must be given"),
        (lambda: nn.AlphaDropout(1.0), r"p must be in \[0, 1\)"),
        (lambda: nn.EmbeddingBag(2, 2, "min"), "mode must be sum, mean or max"),
        (lambda: nn.AdaptiveMaxPool1d(0), "size must be at least 1"),
    ],
)
def test_options_that_cannot_be(make, message):
    with pytest.raises(tl.TleanError, match=message):
        make()


@pytest.mark.parametrize(("mode", "of_numpy"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
@pytest.mark.parametrize(
    ("padding", "widths"), [(2, [(2, 2)] * 2), ((0, 1), [(0, 0), (1, 1)]), ("same", [(1, 2), (2, 2)]), ("valid", [(0, 0)] * 2)]
)
def test_convolutions_of_what_lies_around(mode, of_numpy, padding, widths):
    layer = nn.Conv2d(3, 2, (4, 3), padding=padding, dilation=(1, 2), padding_mode=mode)
    plain = nn.Conv2d(3, 2, (4, 3), dilation=(1, 2))
    plain.weight.set(layer.weight.get().numpy()), plain.bias.set(layer.bias.get().numpy())
    assert called(layer, X).tolist() == called(plain, np.pad(X, [(0, 0), (0, 0), *widths], of_numpy)).tolist()
    assert f"padding_mode={mode!r}" in repr(layer)
    with pytest.raises(tl.OptionError, match="padding_mode must be one of zeros"):
        nn.Conv2d(3, 2, 3, padding_mode="mirror")


def test_pools_of_norms():
    x = np.array([[[3.0, -4.0, 0.0, 0.0]]])
    assert np.asarray(tl.lp_pool(x, 2, (2,))).tolist() == [[[5.0, 0.0]]]
    np.testing.assert_allclose(np.asarray(tl.lp_pool(x, 3, (2,))), [[[91 ** (1 / 3), 0.0]]], 1e-14)
    assert np.asarray(tl.lp_pool(x, np.inf, (2,), 1)).tolist() == [[[4.0, 4.0, 0.0]]]
    for p in (1, 2, 3.5):
        g = np.asarray(tl.grad(lambda ops, x, p=p: ops.sum(ops.lp_pool(x, p, (2,))))(x))
        assert np.isfinite(g).all() and (g[..., 2:] == 0).all()
    with pytest.raises(tl.OptionError, match="lp_pool: p must be above 0"):
        tl.lp_pool(x, 0, (2,))


def test_layer_norm_of_several_axes():
    layer = nn.LayerNorm((7, 7), bias=False)
    layer.weight.set(np.arange(49.0).reshape(7, 7) / 10)
    centred = X - X.mean((2, 3), keepdims=True)
    expected = centred / np.sqrt(X.var((2, 3), keepdims=True) + 1e-5) * layer.weight.get().numpy()
    np.testing.assert_allclose(called(layer, X), expected, 1e-5, 1e-5)
    assert layer.bias is None and "(7, 7), bias=False" in repr(layer)
    with pytest.raises(tl.ShapeError, match="the last axes must have sizes"):
        called(layer, X[..., :5])


def test_batch_norm_without_parts():
    bare, mean = nn.BatchNorm(3, affine=False, track=False), nn.BatchNorm(3, momentum=None)
    expected = (X - X.mean((0, 2, 3), keepdims=True)) / np.sqrt(X.var((0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(called(bare, X), expected, 1e-4, 1e-4)
    np.testing.assert_allclose(called(bare.eval(), X), expected, 1e-4, 1e-4)
    assert not list(bare.parameters()) and "affine=False, track=False" in repr(bare)
    session = tl.Session()
    for batch in (X, 2 * X + 1, -X):
        mean(session, session.const(batch))
    averages = [
        np.mean([b.mean((0, 2, 3)) for b in (X, 2 * X + 1, -X)], 0),
        np.mean([b.var((0, 2, 3), ddof=1) for b in (X, 2 * X + 1, -X)], 0),
    ]
    for found, average in zip((mean.running_mean, mean.running_var), averages, strict=True):
        np.testing.assert_allclose(found.get().numpy(), average, 1e-5, 1e-5)


def test_an_embedding_leaves_out_its_padding():
    layer = nn.Embedding(4, 2, padding=2)
    ids = np.array([[2, 1], [3, 2]])
    rows = called_with_ids(layer, ids)
    assert (rows[ids == 2] == 0).all() and (rows[ids != 2] == layer.weight.get().numpy()[ids[ids != 2]]).all()
    step = tl.Session()
    grads = step.backward_params(step.sum(layer(step, ids)))
    assert np.asarray(grads[layer.weight]).tolist() == [[0, 0], [1, 1], [0, 0], [1, 1]]


def called_with_ids(layer, ids):
    s = tl.Session()
    return np.asarray(layer(s, s.add_leaf(tl.AnyTensor(ids), False)))


def test_attention_with_biases_dropout_and_a_context():
    rng = np.random.default_rng(0)
    x, context = rng.normal(size=(2, 5, 8)), rng.normal(size=(2, 7, 8))
    plain, layer = nn.MultiHeadAttention(8, 2), nn.MultiHeadAttention(8, 2, bias=True, dropout=0.5)
    for name in ("wq", "wk", "wv", "wo"):
        getattr(layer, name).set(getattr(plain, name).get().numpy())
    layer.eval()
    np.testing.assert_allclose(called(layer, x), called(plain, x), 1e-4, 1e-5)
    layer.bo.set(np.full(8, 3.0))
    np.testing.assert_allclose(called(layer, x), called(plain, x) + 3, 1e-4, 1e-5)
    s = tl.Session()
    y = plain(s, s.const(x), None, s.const(context))
    heads = [
        (v @ w.get().numpy()).reshape(2, -1, 2, 4).swapaxes(1, 2) for v, w in ((x, plain.wq), (context, plain.wk), (context, plain.wv))
    ]
    expected = np.asarray(tl.scaled_dot_product_attention(*heads)).swapaxes(1, 2).reshape(2, 5, 8) @ plain.wo.get().numpy()
    np.testing.assert_allclose(np.asarray(y), expected, 1e-4, 1e-5)
    assert "heads=2, bias=True, dropout=0.5" in repr(layer)


def test_dropped_attention_weights():
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=(3, n, 4)) for n in (6, 50, 50))
    mask = rng.random((6, 50)) < 0.7
    dropped = tl.scaled_dot_product_attention(q, k, v, mask, dropout=0.25, seed=3)
    assert np.array_equal(dropped, tl.scaled_dot_product_attention(q, k, v, mask, dropout=0.25, seed=3))
    assert np.array_equal(tl.scaled_dot_product_attention(q, k, v, mask, dropout=0.0), tl.scaled_dot_product_attention(q, k, v, mask))
    scores = np.where(mask, q @ k.swapaxes(1, 2) / 2, -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    kept = np.asarray(tl.dropout(np.ones((3, 6, 50)), 0.25, 3))
    np.testing.assert_allclose(np.asarray(dropped), (weights * kept) @ v, 1e-12, 1e-12)

    def loss(ops, *xs):
        return ops.sum(ops.scaled_dot_product_attention(*xs, dropout=0.25, seed=3))

    eager, compiled = (tl.vjp(loss, q, k, v, backend=b)[1](np.ones(())) for b in ("eager", "compiled"))
    assert all(np.array_equal(a, b) for a, b in zip(eager, compiled, strict=True))
    with pytest.raises(tl.OptionError, match="seed must go with dropout"):
        tl.scaled_dot_product_attention(q, k, v, seed=3)
    with pytest.raises(tl.OptionError, match=r"dropout"):
        tl.scaled_dot_product_attention(q, k, v, dropout=1.0)
