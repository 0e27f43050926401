"""Layers of convolutions with padding by name and of pools with their further options: that each option reaches its op."""

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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 2, 3, stride=2, padding="same"), "padding='same' must go with a stride of 1"),
        (lambda: nn.Conv2d(3, 2, 3, padding="full"), "'same' or 'valid'"),
        (lambda: nn.ConvTranspose2d(3, 2, 3, padding="same"), "padding must be an int, or one for each axis"),
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), "size must have 2 entries"),
        (lambda: nn.AdaptiveMaxPool1d(0), "size must be at least 1"),
    ],
)
def test_options_that_cannot_be(make, message):
    with pytest.raises(tl.TleanError, match=message):
        make()
