"""Networks: convolutions, pools, norms, attention and losses in the order in which models have them, with sizes drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tlean.ops.samples import Arr

from .draw import Builder

ACTIVATIONS = ("relu", "tanh", "gelu", "silu", "sigmoid", "softplus", "elu", "leaky_relu", "abs", "sin")


def _param(b: Builder, *shape: int, kind: str = "normal") -> int:
    return b.input(shape, Arr(shape, kind), grad=b.rng.random() < 0.9, const=False)


def _maybe(b: Builder, key: int, made: int | None) -> int:
    # The value if the step was one, else what was there before it.
    return key if made is None else made


def _weight(b: Builder, *shape: int) -> int:
    # Scaled by the fan-in, so that a chain of layers keeps its size.
    w = _param(b, *shape)
    fan = max(1, int(np.prod(shape[1:])))
    return _maybe(b, w, b.step("scale", [w], c=float(fan**-0.5)))


def _activation(b: Builder, x: int) -> int:
    return _maybe(b, x, b.step(ACTIVATIONS[b.rng.integers(len(ACTIVATIONS))], [x]))


def _norm(b: Builder, x: int) -> int:
    c = b.specs[x].shape[1]
    gamma, beta = _param(b, c, kind="positive"), _param(b, c)
    if b.rng.random() < 0.3:
        return _maybe(b, x, b.step("batchnorm_channel_first_eval", [x, gamma, beta, _param(b, c), _param(b, c, kind="positive")]))
    return _maybe(b, x, b.step("batchnorm_channel_first", [x, gamma, beta]))


def _pool(b: Builder, x: int) -> int:
    d = len(b.specs[x].shape) - 2
    k, s, p = (tuple(int(n) for n in b.rng.integers(low, high, d)) for low, high in ((1, 4), (1, 3), (0, 2)))
    op = ("max_pool", "avg_pool", "smooth_max_pool")[b.rng.integers(3)]
    options: dict[str, Any] = {"kernel": k, "stride": s, "padding": tuple(min(q, n // 2) for q, n in zip(p, k, strict=True))}
    if op == "smooth_max_pool":
        options["beta"] = float(b.rng.choice([0.5, 2.0, -1.0]))
    return _maybe(b, x, b.step(op, [x], **options))


def _convolution(b: Builder, x: int) -> int:
    rng = b.rng
    shape = b.specs[x].shape
    d, c = len(shape) - 2, shape[1]
    groups = 2 if c % 2 == 0 and rng.random() < 0.25 else 1
    out = groups * int(rng.integers(1, 9)) if rng.random() < 0.8 else 16
    kernel = (3,) * d if rng.random() < 0.6 else tuple(int(n) for n in rng.integers(1, 4, d))
    stride, dilation = (1 if rng.random() < 0.7 else 2), (1 if rng.random() < 0.85 else 2)
    padding = int(rng.integers(0, 3))
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    bias = _param(b, out) if rng.random() < 0.6 else None
    if rng.random() < 0.2:
        w = _weight(b, c, out // groups, *kernel)
        return _maybe(b, x, b.step("conv_transpose", [w, bias, x], **options, output_padding=0))
    w = _weight(b, out, c // groups, *kernel)
    return _maybe(b, x, b.step("conv2d" if d == 2 and rng.random() < 0.6 else "conv", [w, bias, x], **options))


def _head(b: Builder, x: int) -> list[int]:
    # From (N, features) to a loss, or to the values themselves.
    rng = b.rng
    n, f = b.specs[x].shape
    classes = int(rng.integers(2, 11))
    logits = _maybe(b, x, b.step("linear", [_weight(b, classes, f), _param(b, classes) if rng.random() < 0.7 else None, x]))
    n, classes = b.specs[logits].shape
    kind = rng.integers(4)
    if kind == 0:
        labels = b.input((n,), Arr((n,), "int", 0, classes), const=False)
        b.batch.append(labels)
        made = b.step("cross_entropy", [logits, labels, None], label_smoothing=float(rng.choice([0.0, 0.1])), reduction="mean")
    elif kind == 1:
        target = b.input((n, classes), grad=False, const=False)
        b.batch.append(target)
        made = b.step("mse_loss", [logits, target], reduction=str(rng.choice(["mean", "sum", "none"])))
    elif kind == 2:
        made = b.step("log_softmax", [logits], axis=-1)
    else:
        made = b.step("reduce_sum", [_maybe(b, logits, b.step("square", [logits]))], axis=1)
        made = None if made is None else b.step("mean", [made])
    outputs = [_maybe(b, logits, made)]
    return [*outputs, logits] if rng.random() < 0.5 else outputs


def _flat(b: Builder, x: int) -> int:
    shape = b.specs[x].shape
    if len(shape) == 4 and b.rng.random() < 0.4:
        pooled = b.step("global_avg_pool2d_nchw", [x], -1)
        if pooled is not None:
            return pooled
    return _maybe(b, x, b.step("reshape", [x], shape=(-1, int(np.prod(shape[1:])))))


def convolutional(b: Builder) -> list[int]:
    """Blocks of convolution, norm, activation, pool and residuals, then a classifier."""
    rng = b.rng
    d = int(rng.choice([1, 2, 2, 2, 3]))
    n, c = int(rng.integers(1, 4)), int(rng.choice([1, 2, 3, 4, 8, 16]))
    sizes = {1: (8, 40), 2: (5, 13), 3: (3, 7)}[d]
    x = b.input((n, c, *(int(k) for k in rng.integers(*sizes, d))), const=False)
    b.batch.append(x)
    for _ in range(rng.integers(1, 5)):
        y = _convolution(b, x)
        if rng.random() < 0.5:
            y = _norm(b, y)
        y = _activation(b, y)
        if b.specs[y].shape == b.specs[x].shape and rng.random() < 0.5:
            y = _maybe(b, y, b.step("add", [x, y]))
        if rng.random() < 0.3:
            y = _pool(b, y)
        if rng.random() < 0.15:
            y = _maybe(b, y, b.step("dropout", [y, b.input((), Arr((), "values", data=7), const=True)], p=0.3, train=True))
        x = y
    flat = _flat(b, x)
    return _head(b, flat) if len(b.specs[flat].shape) == 2 else [x]


def deep(b: Builder) -> list[int]:
    """Convolutions of 3 × 3 with many channels one after another, as residual networks have them."""
    rng = b.rng
    b.limit = 60_000
    d = int(rng.choice([2, 2, 2, 3]))
    n, c = int(rng.integers(1, 3)), int(rng.choice([8, 16, 16, 24, 32]))
    sizes = tuple(int(k) for k in rng.integers(4, 16 if d == 2 else 7, d))
    x = b.input((n, c, *sizes), const=False)
    b.batch.append(x)
    for _ in range(rng.integers(1, 5)):
        out = c if rng.random() < 0.7 else int(rng.choice([8, 16, 32]))
        w = _weight(b, out, c, *(3,) * d)
        bias = _param(b, out) if rng.random() < 0.5 else None
        y = _maybe(b, x, b.step("conv", [w, bias, x], stride=1, padding=1, dilation=1, groups=1))
        if rng.random() < 0.5:
            y = _norm(b, y)
        if rng.random() < 0.7:
            y = _activation(b, y)
        if b.specs[y].shape == b.specs[x].shape and rng.random() < 0.4:
            y = _maybe(b, y, b.step("add", [x, y]))
        x, c = y, b.specs[y].shape[1]
    if d == 2 and rng.random() < 0.5:
        x = _maybe(b, x, b.step("global_avg_pool2d_nchw", [x], -1))
        return _head(b, x) if len(b.specs[x].shape) == 2 else [x]
    return [x]


def transformer(b: Builder) -> list[int]:
    """Blocks of norm, attention and a perceptron with residuals."""
    rng = b.rng
    heads, width = int(rng.integers(1, 4)), int(rng.integers(1, 6))
    e, t = heads * width, int(rng.integers(1, 20))
    lead = (int(rng.integers(1, 4)),) if rng.random() < 0.6 else ()
    x = b.input((*lead, t, e), const=False)
    for _ in range(rng.integers(1, 3)):
        normed = _maybe(b, x, b.step("layer_norm", [x, _param(b, e, kind="positive"), _param(b, e) if rng.random() < 0.7 else None]))
        mask = b.input((t, t), Arr((t, t), "bool")) if rng.random() < 0.3 else None
        if rng.random() < 0.6:
            attended = b.step("multi_head_attention", [*(_weight(b, e, e) for _ in range(4)), normed, mask], num_heads=heads)
        else:
            parts = [b.step("linear", [_weight(b, e, e), None, normed]) for _ in range(3)]
            attended = b.step("scaled_dot_product_attention", [*parts, mask], causal=bool(rng.integers(2)))
        x = _maybe(b, x, None if attended is None else b.step("add", [x, attended]))
        wide = 2 * e
        h = _activation(b, _maybe(b, x, b.step("linear", [_weight(b, wide, e), _param(b, wide), x])))
        if b.specs[h].shape[-1] == wide:
            h = _maybe(b, x, b.step("linear", [_weight(b, e, wide), None, h]))
            x = _maybe(b, x, b.step("add", [x, h]))
    flat = _maybe(b, x, b.step("reshape", [x], shape=(-1, e)))
    return _head(b, flat)


def perceptron(b: Builder) -> list[int]:
    """Linear layers with activations."""
    rng = b.rng
    x = b.input((int(rng.integers(1, 9)), int(rng.integers(1, 12))), const=False)
    b.batch.append(x)
    for _ in range(rng.integers(1, 4)):
        f, out = b.specs[x].shape[1], int(rng.integers(1, 20))
        x = _activation(b, _maybe(b, x, b.step("linear", [_weight(b, out, f), _param(b, out) if rng.random() < 0.8 else None, x])))
    return _head(b, x)


NETWORKS: list[Callable[[Builder], list[int]]] = [convolutional, convolutional, deep, transformer, perceptron]


def composite_step(b: Builder) -> int | None:
    """A call of an op that other ops make up; they have no samples, so each is written out."""
    rng = b.rng
    pool = b.floats()
    if not pool:
        return None
    x = b.pick(pool)
    shape = b.specs[x].shape
    match rng.integers(5):
        case 0:
            return b.step("l1_loss", [x, b.fitted(shape, Arr(shape))], -1, reduction=str(rng.choice(["mean", "sum", "none"])))
        case 1:
            return b.step("huber_loss", [x, b.fitted(shape, Arr(shape))], -1, delta=float(rng.choice([0.5, 1.0])))
        case 2 if len(shape) >= 3:
            return b.step("batch_stats", [x], int(rng.integers(2)))
        case 3 if len(shape) == 2:
            other = (shape[1], int(rng.integers(1, 6)))
            return b.step("einsum", [x, b.fitted(other, Arr(other))], -1, spec=str(rng.choice(["ij,jk->ik", "ij,jk->k", "ij,jk->kji"])))
        case 4 if len(shape) >= 2 and shape[-1]:
            labels = b.input(shape[:-1], Arr(shape[:-1], "int", 0, shape[-1]))
            log = b.step("log_softmax", [x], axis=-1)
            return None if log is None else b.step("nll_loss", [log, labels], -1, reduction="sum")
    return None
