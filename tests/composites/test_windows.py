"""Convolutions and pools with further options: where PyTorch says nothing, calls that cannot be, and existing calls as they were."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tlean as tl

X = np.arange(1.0, 10.0)[None]


def test_a_padded_zero_counts_where_windows_hang_over():
    # Of -5 alone: the padded 0 wins; the cell beyond the padding is none.
    y = tl.max_pool(np.array([[-5.0, -6.0, -7.0, -8.0]]), (3,), 2, 1, 0.0, ceil_mode=True)
    assert np.asarray(y).tolist() == [[0.0, -6.0, 0.0]]


def test_a_window_without_a_cell_is_minus_infinity():
    assert np.asarray(tl.max_pool(np.array([[3.0]]), (2,), 1, 2, dilation=4)).tolist() == [[-math.inf]]
    assert np.asarray(tl.grad(lambda ops, x: ops.sum(ops.max_pool(x, (2,), 1, 2, dilation=4)))(np.array([[3.0]]))).tolist() == [[0.0]]


@pytest.mark.parametrize("options", [{"dilation": 2}, {"ceil_mode": True}])
def test_not_a_number_wins(options):
    x = np.array([[0.0, math.nan, 1.0, 2.0, -math.inf, -math.inf, -math.inf, -math.inf]])
    y = np.asarray(tl.max_pool(x, (2,), 3, 0, **options))
    assert np.isnan(y[0, 0]) == (options != {"dilation": 2})
    # Where every cell is -inf the first one has the gradient, not the cell beyond the end.
    g = np.asarray(tl.grad(lambda ops, x: ops.sum(ops.max_pool(x, (2,), 1, 0, **options)))(x[:, 4:]))
    assert g.sum() == y[:, :0].size + (2 if "dilation" in options else 3)


def test_a_plain_call_is_one_node():
    m = tl.TapeM(dtype="float64")
    x, w = m.leaf(X), m.leaf(np.ones((1, 1, 2)))
    ids = [m.max_pool(x, (2,), 1, 0, -math.inf, 1, False).id, m.avg_pool(x, (2,), 1, 0, False, True, None).id, m.conv(w, None, x, 1, 0).id]
    assert ids == [2, 3, 4]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda o, x: o.conv(o.const(np.ones((1, 1, 2))), None, x, 2, "same"), tl.OptionError, "padding='same' must go with a stride of 1"),
        (lambda o, x: o.conv(o.const(np.ones((1, 1, 2))), None, x, 1, "full"), tl.OptionError, "'same' or 'valid'"),
        (lambda o, x: o.conv2d(o.const(np.ones((1, 1, 2))), None, x, 1, "same"), tl.ShapeError, "two channel axes"),
        (lambda o, x: o.max_pool(x, (2,), 1, 2, dilation=2), tl.ShapeError, "padding must be at least 0 and at most half"),
        (lambda o, x: o.max_pool(x, (2,), 1, 0, dilation=0), tl.ShapeError, "must be at least 1"),
        (lambda o, x: o.max_pool(x, (5,), dilation=3), tl.ShapeError, "the kernel must fit"),
        (lambda o, x: o.max_pool(x, 2, ceil_mode=True), tl.OptionError, "kernel must be a tuple"),
        (lambda o, x: o.avg_pool(x, (2,), divisor_override=0), tl.OptionError, "divisor_override must not be 0"),
        (lambda o, x: o.avg_pool(x, (2,), divisor_override=1.5), tl.OptionError, "divisor_override must be an int"),
        (lambda o, x: o.adaptive_avg_pool(x, 3), tl.OptionError, "size must be a tuple"),
        (lambda o, x: o.adaptive_max_pool(x, (0,)), tl.ShapeError, "at least one cell"),
        (lambda o, x: o.adaptive_max_pool(x, (2, 2)), tl.ShapeError, "to go with a size of 2"),
        (lambda o, x: o.max_unpool(x, np.zeros((1, 9), int), (2, 2)), tl.ShapeError, "to go with a kernel of 2"),
        (lambda o, x: o.max_unpool(x, np.full((1, 9), 18), (2,)), tl.IndexRangeError, "max_unpool"),
    ],
)
def test_errors(call, error, message):
    m = tl.TapeM(dtype="float64")
    with pytest.raises(error, match=message):
        call(m, m.leaf(X))
