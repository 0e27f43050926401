"""Ops that other ops make up on a device: values and gradients against those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

RNG = np.random.default_rng(0)
MASK = RNG.random((2, 1, 7, 9)) < 0.6


def n(*shape):
    return RNG.standard_normal(shape).astype("float32")


#: (program, arrays)
PROGRAMS = {
    "conv_same": (lambda w, b, x: tl.conv(w, b, x, 1, "same", (1, 2)), [n(3, 2, 2, 4), n(3), n(2, 2, 5, 6)]),
    "max_pool_dilated": (lambda x: tl.max_pool(x, (2, 3), 2, (1, 1), dilation=(2, 1), ceil_mode=True), [n(2, 3, 7, 8)]),
    "max_pool_ceil": (lambda x: tl.max_pool(x, (3, 3), 2, 1, 0.0, ceil_mode=True), [n(2, 3, 6, 7)]),
    "max_unpool": (lambda x: tl.max_unpool(*tl.max_pool_with_indices(x, (2, 2)), (2, 2)), [n(2, 4, 6)]),
    "avg_pool_inside": (lambda x: tl.avg_pool(x, (3, 2), 2, 1, True, False), [n(2, 3, 6, 7)]),
    "adaptive_avg_pool": (lambda x: tl.adaptive_avg_pool(x, (3, 4)), [n(2, 7, 6)]),
    "adaptive_max_pool": (lambda x: tl.adaptive_max_pool(x, (3, 4)), [n(2, 7, 6)]),
    "attention_bias": (
        lambda q, k, v, b: tl.scaled_dot_product_attention(q, k, v, b, True, 0.4),
        [n(2, 3, 70, 5), n(2, 3, 80, 5), n(2, 1, 80, 7), n(2, 1, 70, 80)],
    ),
    "attention_row": (
        lambda q, k, v, b: tl.scaled_dot_product_attention(q, k, v, b),
        [n(2, 3, 7, 5), n(2, 3, 9, 5), n(2, 3, 9, 7), n(3, 1, 9)],
    ),
    "attention_groups": (
        lambda q, k, v: tl.scaled_dot_product_attention(q, k, v, MASK, scale=0.3, enable_gqa=True),
        [n(2, 6, 7, 5), n(2, 3, 9, 5), n(2, 3, 9, 7)],
    ),
    "interpolate": (lambda x: tl.interpolate(x, (5, 3), mode="bicubic"), [n(2, 2, 4, 4)]),
    "interpolate_nearest": (lambda x: tl.interpolate(x, None, 1.5), [n(2, 2, 4, 4)]),
    "grid_sample": (lambda x, g: tl.grid_sample(x, g, padding_mode="reflection"), [n(2, 2, 4, 5), n(2, 3, 3, 2)]),
    "pixel_shuffle": (lambda x: tl.pixel_shuffle(x, 2), [n(2, 8, 3, 2)]),
    "fold": (lambda x: tl.fold(x, (4, 5), (2, 2), 1, 1), [n(2, 12, 30)]),
    "local_response_norm": (lambda x: tl.local_response_norm(x, 3, 0.5), [n(2, 4, 3, 2)]),
    "multi_margin_loss": (lambda x: tl.multi_margin_loss(x, np.array([1, 0, 4])), [n(3, 5)]),
    "multilabel_margin_loss": (lambda x: tl.multilabel_margin_loss(x, np.array([[1, 0, -1], [2, -1, 0]])), [n(2, 3)]),
    "ctc_loss": (lambda x: tl.ctc_loss(tl.log_softmax(x), np.array([[1, 2], [2, 2]]), [5, 4], [2, 1]), [n(5, 2, 3)]),
    "embedding_bag": (lambda t: tl.embedding_bag(t, np.array([1, 0, 3, 1]), np.array([0, 2, 2])), [n(4, 3)]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_composite(name):
    program, arrays = PROGRAMS[name]

    def loss(*xs):
        return tl.sum(tl.sin(program(*xs)))

    places = tuple(range(len(arrays)))
    here = tl.jit(tl.value_and_grad(loss, argnums=places))(*arrays)
    there = tl.jit(tl.value_and_grad(loss, argnums=places), device="cuda")(*arrays)
    np.testing.assert_allclose(float(there[0]), float(here[0]), rtol=1e-5, atol=1e-5)
    for a, b in zip(there[1], here[1], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=2e-5)
