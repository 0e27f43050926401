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
