"""Kernels and gradients against PyTorch in float64, 1e-10 relative: every public op that PyTorch has, through an eager session."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where PyTorch is installed")
F = torch.nn.functional

RNG = np.random.default_rng(0)


def n(*shape):
    return RNG.normal(size=shape)


def p(*shape):
    return RNG.uniform(0.5, 2.5, shape)


IDX = np.array([2, 0, 2])
LABELS = RNG.integers(0, 5, 4)
MASK = np.tril(np.ones((6, 6), bool))
T = torch.tensor

#: name -> (ours, PyTorch's, arrays)
CASES = {
    "add": (lambda o, a, b: o.add(a, b), lambda a, b: a + b, [n(3, 4), n(3, 4)]),
    "sub": (lambda o, a, b: o.sub(a, b), lambda a, b: a - b, [n(3, 4), n(3, 4)]),
    "mul": (lambda o, a, b: o.mul(a, b), lambda a, b: a * b, [n(3, 4), n(3, 4)]),
    "div": (lambda o, a, b: o.div(a, b), lambda a, b: a / b, [n(3, 4), p(3, 4)]),
    "scale": (lambda o, a: o.scale(a, 1.7), lambda a: a * 1.7, [n(3, 4)]),
    "shift": (lambda o, a: o.shift(a, 1.7), lambda a: a + 1.7, [n(3, 4)]),
    "max": (lambda o, a, b: o.max(a, b), torch.maximum, [n(3, 4), n(3, 4)]),
    "min": (lambda o, a, b: o.min(a, b), torch.minimum, [n(3, 4), n(3, 4)]),
    "where": (lambda o, a, b: o.where(o.greater(a, b), a, b), lambda a, b: torch.where(a > b, a, b), [n(3, 4), n(3, 4)]),
    "clamp": (lambda o, a: o.clamp(a, -0.5, 0.7), lambda a: torch.clamp(a, -0.5, 0.7), [n(3, 4)]),
    "pow": (lambda o, a: o.pow(a, 2.5), lambda a: a**2.5, [p(3, 4)]),
    "leaky_relu": (lambda o, a: o.leaky_relu(a, 0.1), lambda a: F.leaky_relu(a, 0.1), [n(3, 4)]),
    "elu": (lambda o, a: o.elu(a, 1.3), lambda a: F.elu(a, 1.3), [n(3, 4)]),
    "gelu_tanh": (lambda o, a: o.gelu(a), lambda a: F.gelu(a, approximate="tanh"), [n(3, 4)]),
    "gelu_erf": (lambda o, a: o.gelu(a, approximate="none"), F.gelu, [n(3, 4)]),
    "reshape": (lambda o, a: o.reshape(a, (4, -1)), lambda a: a.reshape(4, -1), [n(3, 4)]),
    "flatten": (lambda o, a: o.flatten(a), torch.flatten, [n(3, 4)]),
    "transpose2d": (lambda o, a: o.transpose2d(a), torch.t, [n(3, 4)]),
    "permute": (lambda o, a: o.permute(a, (2, 0, 1)), lambda a: a.permute(2, 0, 1), [n(2, 3, 4)]),
    "first_to_last": (lambda o, a: o.transpose3d_first_to_last(a), lambda a: a.permute(1, 2, 0), [n(2, 3, 4)]),
    "last_to_first": (lambda o, a: o.transpose3d_last_to_first(a), lambda a: a.permute(2, 0, 1), [n(2, 3, 4)]),
    "last_two": (lambda o, a: o.transpose3d_last_two(a), lambda a: a.transpose(1, 2), [n(2, 3, 4)]),
    "swap_adjacent": (lambda o, a: o.swap_adjacent_at_depth(a, 0), lambda a: a.transpose(0, 1), [n(2, 3, 4)]),
    "broadcast_to": (lambda o, a: o.broadcast_to(a, (2, 3, 4)), lambda a: a.expand(2, 3, 4), [n(3, 1)]),
    "reduce_sum": (lambda o, a: o.reduce_sum(a, (0, 2)), lambda a: a.sum((0, 2)), [n(2, 3, 4)]),
    "reduce_mean": (lambda o, a: o.reduce_mean(a, 1, keepdims=True), lambda a: a.mean(1, keepdim=True), [n(2, 3, 4)]),
    "reduce_max": (lambda o, a: o.reduce_max(a, 1), lambda a: a.max(1).values, [n(2, 3, 4)]),
    "sum": (lambda o, a: o.sum(a), torch.sum, [n(3, 4)]),
    "mean": (lambda o, a: o.mean(a), torch.mean, [n(3, 4)]),
    "cumsum": (lambda o, a: o.cumsum(a, 1), lambda a: a.cumsum(1), [n(3, 4)]),
    "gather_scalar": (lambda o, a: o.gather_scalar(a, 2), lambda a: a[2], [n(5)]),
    "gather_row": (lambda o, a: o.gather_row(a, 1), lambda a: a[1], [n(3, 4)]),
    "gather_vec": (lambda o, a: o.gather_vec_nat(a, IDX), lambda a: a[T(IDX)], [n(5)]),
    "gather_rows": (lambda o, a: o.gather_rows_nat(a, IDX), lambda a: a[T(IDX)], [n(3, 4)]),
    "scatter_add_row": (lambda o, a, v: o.scatter_add_row(a, v, 1), lambda a, v: a.index_add(0, T([1]), v[None]), [n(3, 4), n(4)]),
    "scatter_add_vec": (lambda o, a, v: o.scatter_add_vec(a, v, 1), lambda a, v: a.index_add(0, T([1]), v[None]), [n(5), n()]),
    "concat": (lambda o, a, b: o.concat([a, b], 1), lambda a, b: torch.cat([a, b], 1), [n(3, 4), n(3, 2)]),
    "stack": (lambda o, a, b: o.stack([a, b], 1), lambda a, b: torch.stack([a, b], 1), [n(3, 4), n(3, 4)]),
    "slice": (lambda o, a: o.slice(a, (0, 1), (3, 4), (2, 1)), lambda a: a[0:3:2, 1:4], [n(3, 4)]),
    "slice_range0": (lambda o, a: o.slice_range0(a, 1, 2), lambda a: a[1:3], [n(4, 3)]),
    "pad": (lambda o, a: o.pad(a, ((1, 0), (2, 1)), 0.5), lambda a: F.pad(a, (2, 1, 1, 0), value=0.5), [n(3, 4)]),
    "linear": (lambda o, w, b, x: o.linear(w, b, x), lambda w, b, x: F.linear(x, w, b), [n(5, 4), n(5), n(3, 4)]),
    "matmul": (lambda o, a, b: o.matmul(a, b, transpose_b=True), lambda a, b: a @ b.mT, [n(2, 3, 4), n(2, 5, 4)]),
    "bmm": (lambda o, a, b: o.bmm(a, b), torch.bmm, [n(2, 3, 4), n(2, 4, 5)]),
    "einsum": (lambda o, a, b: o.einsum("bij,bjk->kib", a, b), lambda a, b: torch.einsum("bij,bjk->kib", a, b), [n(2, 3, 4), n(2, 4, 5)]),
    "conv1d": (
        lambda o, w, b, x: o.conv(w, b, x, padding=2),
        lambda w, b, x: F.conv1d(x, w, b, padding=2),
        [n(4, 3, 5), n(4), n(2, 3, 11)],
    ),
    "conv2d": (
        lambda o, w, b, x: o.conv2d(w, b, x, 2, 1, 2, 2),
        lambda w, b, x: F.conv2d(x, w, b, 2, 1, 2, 2),
        [n(4, 2, 3, 3), n(4), n(2, 4, 9, 8)],
    ),
    "conv3d": (
        lambda o, w, b, x: o.conv(w, b, x, 1, 1),
        lambda w, b, x: F.conv3d(x, w, b, 1, 1),
        [n(2, 3, 3, 3, 3), n(2), n(1, 3, 4, 5, 6)],
    ),
    "conv_transpose2d": (
        lambda o, w, b, x: o.conv_transpose2d(w, b, x, 2, 1, 1),
        lambda w, b, x: F.conv_transpose2d(x, w, b, 2, 1, 1),
        [n(4, 3, 3, 3), n(3), n(2, 4, 5, 6)],
    ),
    "max_pool": (lambda o, x: o.max_pool(x, (3, 3), 2, 1), lambda x: F.max_pool2d(x, 3, 2, 1), [n(2, 3, 8, 9)]),
    "avg_pool": (lambda o, x: o.avg_pool(x, (3, 3), 2, 1), lambda x: F.avg_pool2d(x, 3, 2, 1), [n(2, 3, 8, 9)]),
    "global_avg_pool": (lambda o, x: o.global_avg_pool2d_nchw(x), lambda x: x.mean((2, 3)), [n(2, 3, 4, 5)]),
    "layer_norm": (lambda o, x, g, b: o.layer_norm(x, g, b), lambda x, g, b: F.layer_norm(x, (6,), g, b), [n(3, 6), n(6), n(6)]),
    "batchnorm": (
        lambda o, x, g, b: o.batchnorm_channel_first(x, g, b),
        lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True),
        [n(4, 3, 5, 5), n(3), n(3)],
    ),
    "batchnorm_eval": (
        lambda o, x, g, b, m, v: o.batchnorm_channel_first_eval(x, g, b, m, v),
        lambda x, g, b, m, v: (x - m[:, None, None]) / (v + 1e-5).sqrt()[:, None, None] * g[:, None, None] + b[:, None, None],
        [n(4, 3, 5, 5), n(3), n(3), n(3), p(3)],
    ),
    "attention": (
        lambda o, q, k, v: o.scaled_dot_product_attention(q, k, v, MASK),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, T(MASK)),
        [n(2, 6, 4), n(2, 6, 4), n(2, 6, 3)],
    ),
    "attention_causal": (
        lambda o, q, k, v: o.scaled_dot_product_attention(q, k, v, causal=True),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        [n(2, 6, 4), n(2, 6, 4), n(2, 6, 4)],
    ),
    "softmax": (lambda o, x: o.softmax(x, 0), lambda x: x.softmax(0), [n(3, 4)]),
    "log_softmax": (lambda o, x: o.log_softmax(x), lambda x: x.log_softmax(-1), [n(3, 4)]),
    "logsumexp": (lambda o, x: o.logsumexp(x, 1), lambda x: x.logsumexp(1), [n(3, 4)]),
    "mse_loss": (lambda o, a, b: o.mse_loss(a, b), F.mse_loss, [n(3, 4), n(3, 4)]),
    "l1_loss": (lambda o, a, b: o.l1_loss(a, b), F.l1_loss, [n(3, 4), n(3, 4)]),
    "huber_loss": (lambda o, a, b: o.huber_loss(a, b, delta=0.7), lambda a, b: F.huber_loss(a, b, delta=0.7), [n(3, 4), n(3, 4)]),
    "bce": (lambda o, x, y: o.bce_with_logits(x, y), F.binary_cross_entropy_with_logits, [n(3, 4), RNG.uniform(size=(3, 4))]),
    "nll_loss": (lambda o, x: o.nll_loss(x, LABELS), lambda x: F.nll_loss(x, T(LABELS)), [n(4, 5)]),
    "cross_entropy": (
        lambda o, x: o.cross_entropy(x, LABELS, label_smoothing=0.1, ignore_index=1),
        lambda x: F.cross_entropy(x, T(LABELS), label_smoothing=0.1, ignore_index=1),
        [n(4, 5)],
    ),
}
UNARY = ["neg", "square", "abs", "relu", "sigmoid", "tanh", "softplus", "exp", "expm1", "sin", "cos", "erf", "silu"]
CASES |= {name: (lambda o, x, f=name: getattr(o, f)(x), getattr(torch, name, getattr(F, name, None)), [n(3, 4)]) for name in UNARY}
CASES |= {name: (lambda o, x, f=name: getattr(o, f)(x), getattr(torch, name), [p(3, 4)]) for name in ("sqrt", "log", "log1p")}
CASES["inv"] = (lambda o, x: o.inv(x), torch.reciprocal, [p(3, 4)])


def close(ours, theirs):
    scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", sorted(CASES))
def test_forward_and_gradients(name):
    ours, theirs, arrays = CASES[name]
    s = tl.Session(dtype="float64")
    refs = [s.input(a) for a in arrays]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = ours(s, *refs), theirs(*tensors)
    close(y.numpy(), t.detach().numpy())
    g = np.random.default_rng(1).normal(size=y.shape)
    grads = s.backward_dense_all(y, g)
    t.backward(torch.tensor(g))
    for ref, tensor in zip(refs, tensors, strict=True):
        close(s.grad(grads, ref).numpy(), np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy())
