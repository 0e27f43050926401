"""The reference definitions against PyTorch, where it is installed: the same rules under the same names."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")

from tlean.reference.definitions import DEFINITIONS

nn = torch.nn.functional


def t(x):
    return None if x is None else torch.from_numpy(np.array(x))


def close(found, expected):
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=1e-13)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def _per_axis(d, *values):
    return tuple((v,) * d if isinstance(v, int) else v[:d] for v in values)


WINDOWS = [
    (d, groups, stride, padding, dilation, batch)
    for d in (1, 2, 3)
    for groups, stride, padding, dilation, batch in [
        (1, 1, 0, 1, False),
        (1, (2, 1, 2), (1, 2, 0), (1, 2, 1), True),
        (2, (3, 2, 1), (0, 1, 2), (2, 1, 1), True),
        (4, 2, 1, 2, False),
    ]
]


@pytest.mark.parametrize(("d", "groups", "stride", "padding", "dilation", "batch"), WINDOWS)
def test_convolutions(rng, d, groups, stride, padding, dilation, batch):
    stride, padding, dilation = _per_axis(d, stride, padding, dilation)
    sizes, kernel = (8, 7, 6)[:d], (3, 2, 2)[:d]
    lead = (2,) if batch else ()
    w, b = rng.standard_normal((8, 4 // groups, *kernel)), rng.standard_normal(8)
    x = rng.standard_normal((*lead, 4, *sizes))
    window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    convolve = (nn.conv1d, nn.conv2d, nn.conv3d)[d - 1]
    y = DEFINITIONS["conv"](w, b, x, **window)
    close(y, convolve(t(x), t(w), t(b), **window))
    close(DEFINITIONS["conv"](w, None, x, **window), convolve(t(x), t(w), None, **window))

    tw, tx, g = t(w).requires_grad_(), t(x).requires_grad_(), rng.standard_normal(y.shape)
    dw, dx = torch.autograd.grad(convolve(tx, tw, None, **window), (tw, tx), t(g))
    close(DEFINITIONS["_conv_grad_x"](w, g, in_shape=sizes, **window), dx)
    close(DEFINITIONS["_conv_grad_w"](g, x, kernel=kernel, **window), dw)


@pytest.mark.parametrize(("d", "groups", "stride", "padding", "dilation", "batch"), WINDOWS)
def test_transposed_convolutions(rng, d, groups, stride, padding, dilation, batch):
    stride, padding, dilation = _per_axis(d, stride, padding, dilation)
    more = tuple(max(s, r) - 1 for s, r in zip(stride, dilation, strict=True))
    kernel = (4, 3, 5)[:d]
    w, b = rng.standard_normal((4, 6 // 2 if groups == 2 else 3, *kernel)), rng.standard_normal(3 * groups)
    x = rng.standard_normal(((2,) if batch else ()) + (4, *(5, 4, 3)[:d]))
    options = {"stride": stride, "padding": padding, "output_padding": more, "dilation": dilation, "groups": groups}
    transpose = (nn.conv_transpose1d, nn.conv_transpose2d, nn.conv_transpose3d)[d - 1]
    close(DEFINITIONS["conv_transpose"](w, b, x, **options), transpose(t(x), t(w), t(b), **options))


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_pools(rng, d, batch):
    x = rng.standard_normal(((2,) if batch else ()) + (3, *(9, 7, 6)[:d]))
    largest = (nn.max_pool1d, nn.max_pool2d, nn.max_pool3d)[d - 1]
    average = (nn.avg_pool1d, nn.avg_pool2d, nn.avg_pool3d)[d - 1]
    for kernel, stride, padding in [((3, 2, 2), (2, 2, 1), (1, 1, 1)), ((2, 3, 2), (1, 3, 2), (0, 1, 0))]:
        k, s, p = kernel[:d], stride[:d], padding[:d]
        close(DEFINITIONS["max_pool"](x, kernel=k, stride=s, padding=p), largest(t(x), k, s, p))
        close(DEFINITIONS["avg_pool"](x, kernel=k, stride=s, padding=p), average(t(x), k, s, p))
        # log Σ e^x over a window is the logarithm of a sum pool of e^x.
        sums = average(torch.exp(2 * t(x)), k, s, p) * np.prod(k)
        close(DEFINITIONS["smooth_max_pool"](x, kernel=k, stride=s, padding=p, beta=2.0), torch.log(sums) / 2)


def test_norms(rng):
    x, gamma, beta = rng.standard_normal((2, 3, 5)), rng.standard_normal(5), rng.standard_normal(5)
    close(DEFINITIONS["layer_norm"](x, gamma, beta, eps=1e-3), nn.layer_norm(t(x), (5,), t(gamma), t(beta), 1e-3))
    close(DEFINITIONS["layer_norm"](x, None, None), nn.layer_norm(t(x), (5,)))
    x, gamma, beta = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal(3), rng.standard_normal(3)
    close(DEFINITIONS["batchnorm_channel_first"](x, gamma, beta), nn.batch_norm(t(x), None, None, t(gamma), t(beta), training=True))
    close(
        DEFINITIONS["batchnorm_channel_first"](x[0], gamma, beta),
        nn.batch_norm(t(x[:1]), None, None, t(gamma), t(beta), training=True)[0],
    )
    mean, var = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    close(
        DEFINITIONS["batchnorm_channel_first_eval"](x, gamma, beta, mean, var),
        nn.batch_norm(t(x), t(mean), t(var), t(gamma), t(beta)),
    )


@pytest.mark.parametrize("causal", [False, True])
def test_attention(rng, causal):
    q, k, v = (rng.standard_normal((2, 3, *s)) for s in ((4, 5), (6, 5), (6, 7)))
    attend = DEFINITIONS["scaled_dot_product_attention"]
    close(attend(q, k, v, None, causal=causal), nn.scaled_dot_product_attention(t(q), t(k), t(v), is_causal=causal))
    mask = rng.random((4, 6)) < 0.7
    mask[:, 0] = True
    both = mask & np.tri(4, 6, dtype=bool) if causal else mask
    close(attend(q, k, v, mask, causal=causal), nn.scaled_dot_product_attention(t(q), t(k), t(v), attn_mask=t(both)))


def test_multi_head_attention(rng):
    n, D, H = 4, 6, 2
    wq, wk, wv, wo = (rng.standard_normal((D, D)) for _ in range(4))
    x = rng.standard_normal((2, n, D))
    mask = np.tri(n, dtype=bool)
    module = torch.nn.MultiheadAttention(D, H, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        # PyTorch applies its projections transposed, and its mask says who may not attend.
        module.in_proj_weight.copy_(t(np.concatenate([wq.T, wk.T, wv.T])))
        module.out_proj.weight.copy_(t(wo.T))
        expected, _ = module(t(x), t(x), t(x), attn_mask=t(~mask))
    close(DEFINITIONS["multi_head_attention"](wq, wk, wv, wo, x, mask, num_heads=H), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(rng, reduction):
    a, b = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    close(DEFINITIONS["mse_loss"](a, b, reduction=reduction), nn.mse_loss(t(a), t(b), reduction=reduction))
    close(DEFINITIONS["bce_with_logits"](a, b, reduction=reduction), nn.binary_cross_entropy_with_logits(t(a), t(b), reduction=reduction))
    labels, weight = np.array([2, 0, 3]), rng.uniform(0.5, 2, 4)
    for w, e, ignored in itertools.product((None, weight), (0.0, 0.3), (None, 0)):
        found = DEFINITIONS["cross_entropy"](a, labels, w, label_smoothing=e, ignore_index=ignored, reduction=reduction)
        index = -100 if ignored is None else ignored
        close(found, nn.cross_entropy(t(a), t(labels), t(w), ignore_index=index, label_smoothing=e, reduction=reduction))


def test_softmax(rng):
    x = rng.standard_normal((3, 4, 5)) * 50
    for axis in (0, 1, -1):
        close(DEFINITIONS["softmax"](x, axis=axis), torch.softmax(t(x), axis))
        close(DEFINITIONS["log_softmax"](x, axis=axis), torch.log_softmax(t(x), axis))
        close(DEFINITIONS["logsumexp"](x, axis=axis), torch.logsumexp(t(x), axis))


_OPTIMISERS = {
    "sgd": (torch.optim.SGD, {"weight_decay": 0.1}, (), lambda t: []),
    "momentum": (torch.optim.SGD, {"weight_decay": 0.1, "momentum": 0.9, "dampening": 0.3}, (0,), lambda t: [0.9, 0.3, 0, t]),
    "momentum nesterov": (torch.optim.SGD, {"weight_decay": 0.1, "momentum": 0.9, "nesterov": True}, (0,), lambda t: [0.9, 0, 1, t]),
    "adam": (torch.optim.Adam, {"weight_decay": 0.1}, (0, 0), lambda t: [0.9, 0.999, 1e-8, t, 0]),
    "adam decoupled": (torch.optim.AdamW, {"weight_decay": 0.1}, (0, 0), lambda t: [0.9, 0.999, 1e-8, t, 1]),
    "amsgrad": (torch.optim.Adam, {"weight_decay": 0.1, "amsgrad": True}, (0, 0, 0), lambda t: [0.9, 0.999, 1e-8, t, 0]),
    "rmsprop": (torch.optim.RMSprop, {"weight_decay": 0.1}, (0,), lambda t: [0.99, 1e-8, 0]),
    "rmsprop_momentum": (torch.optim.RMSprop, {"weight_decay": 0.1, "momentum": 0.9}, (0, 0), lambda t: [0.99, 1e-8, 0.9]),
    "rmsprop_centred": (torch.optim.RMSprop, {"weight_decay": 0.1, "centered": True}, (0, 0), lambda t: [0.99, 1e-8, 0]),
    "rmsprop_centred_momentum": (
        torch.optim.RMSprop,
        {"weight_decay": 0.1, "centered": True, "momentum": 0.9},
        (0, 0, 0),
        lambda t: [0.99, 1e-8, 0.9],
    ),
    "adagrad": (
        torch.optim.Adagrad,
        {"weight_decay": 0.1, "lr_decay": 0.2, "initial_accumulator_value": 0.5},
        (0.5,),
        lambda t: [0.2, 1e-10, t],
    ),
    "adadelta": (torch.optim.Adadelta, {"weight_decay": 0.1}, (0, 0), lambda t: [0.9, 1e-6]),
}  # fmt: skip


@pytest.mark.parametrize("name", _OPTIMISERS)
def test_optimiser_steps(rng, name):
    make, options, initial, rest = _OPTIMISERS[name]
    p, states = rng.standard_normal(7), [np.full(7, float(s)) for s in initial]
    theirs = torch.nn.Parameter(t(p))
    optimiser = make([theirs], lr=0.05, **options)
    step = DEFINITIONS[f"_{name.split()[0]}_step"]
    for k in range(1, 5):
        g = rng.standard_normal(7)
        theirs.grad = t(g)
        optimiser.step()
        made = step(p, g, *states, np.array([0.05, 1.0, 0.1, *rest(k)]))
        p, *states = made if isinstance(made, tuple) else (made,)
        close(p, theirs.detach())
