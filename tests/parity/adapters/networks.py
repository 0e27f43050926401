"""Layers of neural networks: convolutions, pools, norms, attention."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

import tlean as tl

from ..samples import Skip, Waits
from .common import is_float, rank


def spatial(n: int, v: Any) -> Any:
    """An option of PyTorch's as one number for each spatial axis; words as they are."""
    if v is None or isinstance(v, str):
        return v
    v = (v,) if isinstance(v, int) else tuple(v)
    return v * n if len(v) == 1 else v


def called(name: str, *args: Any, **options: Any) -> Any:
    """tlean's op of that name. Raises: Waits where the op or an option is not there yet."""
    f = getattr(tl, name, None)
    if f is None:
        raise Waits(f"waits for `{name}`")
    for k in options:
        if k not in inspect.signature(f).parameters:
            raise Waits(f"waits for the option `{k}` of `{name}`")
    return f(*args, **options)


def _conv(n: int) -> Any:
    def call(x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
        b = tl.zeros((w.shape[0],), dtype=str(w.dtype)) if b is None else b
        if isinstance(padding, str) and "valid or same" not in str(padding):
            padding = _named_padding(padding, w.shape[2:], spatial(n, dilation))
            if any(a != c for a, c in padding):
                x, padding = tl.pad(x, [(0, 0)] * (rank(x) - n) + padding), (0,) * n
            else:
                padding = tuple(a for a, _ in padding)
        return tl.conv(w, b, x, spatial(n, stride), spatial(n, padding), spatial(n, dilation), groups)

    return call


def _named_padding(word: str, kernel: Any, dilation: Any) -> list[tuple[int, int]]:
    totals = [0 if word == "valid" else d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return [(t // 2, t - t // 2) for t in totals]


def _transposed(n: int) -> Any:
    def call(
        x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1
    ) -> Any:
        b = tl.zeros((w.shape[1] * groups,), dtype=str(w.dtype)) if b is None else b
        options = (spatial(n, v) for v in (stride, padding, output_padding, dilation))
        return tl.conv_transpose(w, b, x, *options, groups)

    return call


def _avg_pool(n: int) -> Any:
    def call(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: Any = None,
    ) -> Any:
        more: dict[str, Any] = {} if not ceil_mode else {"ceil_mode": True}
        more |= {} if count_include_pad else {"count_include_pad": False}
        more |= {} if divisor_override is None else {"divisor_override": divisor_override}
        return called("avg_pool", x, spatial(n, kernel_size), spatial(n, stride or None), spatial(n, padding), **more)

    return call


def _max_pool(n: int) -> Any:
    def call(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        more: dict[str, Any] = {} if not ceil_mode else {"ceil_mode": True}
        more |= {} if set(spatial(n, dilation)) == {1} else {"dilation": spatial(n, dilation)}
        name = "max_pool_with_indices" if return_indices else "max_pool"
        return called(name, x, spatial(n, kernel_size), spatial(n, stride or None), spatial(n, padding), **more)

    return call


def _adaptive(name: str, n: int) -> Any:
    def call(x: Any, output_size: Any, return_indices: bool = False) -> Any:
        if return_indices:
            raise Waits(f"waits for the indices of `{name}`")
        return called(name, x, spatial(n, output_size))

    return call


def _batch_norm(
    x: Any,
    mean: Any = None,
    var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Any:
    if 0 in x.shape:
        raise Skip("a batch of nothing")
    shape = (1, -1) + (1,) * (rank(x) - 2)
    if training or mean is None:
        axes = (0, *range(2, rank(x)))
        mean, var = tl.mean(x, axes), tl.var(x, axes)
    y = (x - tl.reshape(mean, shape)) / tl.sqrt(tl.reshape(var, shape) + eps)
    y = y if weight is None else y * tl.reshape(weight, shape)
    return y if bias is None else y + tl.reshape(bias, shape)


def _layer_norm(x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    axes = tuple(range(-len(shape), 0))
    y = (x - tl.mean(x, axes, True)) / tl.sqrt(tl.var(x, axes, True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _native_layer_norm(x: Any, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    axes = tuple(range(-len(shape), 0))
    return _layer_norm(x, shape, weight, bias, eps), tl.mean(x, axes, True), 1 / tl.sqrt(tl.var(x, axes, True) + eps)


def _rms_norm(x: Any, shape: Any, weight: Any = None, eps: Any = None) -> Any:
    eps = 2.220446049250313e-16 if eps is None else eps
    y = x / tl.sqrt(tl.mean(tl.square(x), tuple(range(-len(shape), 0)), True) + eps)
    return y if weight is None else y * weight


def _group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    if not x.shape[0]:
        raise Skip("a batch of nothing")
    if eps < 0:
        raise Skip("a negative eps: an error")
    return tl.group_norm(x, groups, weight, bias, eps)


def _instance_norm(
    x: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    return (
        tl.instance_norm(x, weight, bias, eps)
        if use_input_stats
        else _batch_norm(x, running_mean, running_var, weight, bias, False, eps=eps)
    )


def _response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    if 0 in x.shape:
        return x
    if not is_float(x):
        raise Skip("a mean of integers, which PyTorch cuts off")
    squares = tl.pad(tl.square(x), [(0, 0), (size // 2, (size - 1) // 2)] + [(0, 0)] * (rank(x) - 2))
    summed = sum(squares[:, j : j + x.shape[1]] for j in range(size))
    return x / tl.pow(summed * (alpha / size) + k, beta)


def _attention(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Any:
    if dropout_p:
        raise Skip("dropout, whose numbers are others")
    more: dict[str, Any] = {} if scale is None else {"scale": scale}
    more |= {"enable_gqa": True} if enable_gqa else {}
    if len({rank(q), rank(k), rank(v)}) > 1:
        lead = np.broadcast_shapes(*(tuple(x.shape[:-2]) for x in (q, k, v)))
        q, k, v = (tl.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (q, k, v))
    if (
        attn_mask is not None
        and str(attn_mask.dtype) != "bool"
        and "scale" not in inspect.signature(tl.scaled_dot_product_attention).parameters
    ):
        raise Waits("waits for additive masks of attention")
    return called("scaled_dot_product_attention", q, k, v, attn_mask, is_causal, **more)


def _dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    if training and 0 < p < 1:
        raise Skip("random numbers, which are others")
    if not training:
        return x
    return x * 0.0 if p == 1 else tl.dropout(x, p)


def _rrelu(x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Any:
    if training:
        raise Skip("random numbers, which are others")
    return tl.leaky_relu(x, (lower + upper) / 2)


def _glu(x: Any, dim: int = -1) -> Any:
    return tl.glu(x, dim)


ADAPTERS = {
    **{f"nn.functional.conv{n}d": _conv(n) for n in (1, 2, 3)},
    **{f"nn.functional.conv_transpose{n}d": _transposed(n) for n in (1, 2, 3)},
    **{f"nn.functional.avg_pool{n}d": _avg_pool(n) for n in (1, 2, 3)},
    **{f"nn.functional.max_pool{n}d": _max_pool(n) for n in (1, 2, 3)},
    **{f"nn.functional.adaptive_avg_pool{n}d": _adaptive("adaptive_avg_pool", n) for n in (1, 2, 3)},
    **{f"nn.functional.adaptive_max_pool{n}d": _adaptive("adaptive_max_pool", n) for n in (1, 2, 3)},
    "nn.functional.batch_norm": _batch_norm,
    "nn.functional.batch_norm.without_cudnn": _batch_norm,
    "nn.functional.dropout": _dropout,
    "nn.functional.feature_alpha_dropout.without_train": _dropout,
    "nn.functional.glu": _glu,
    "nn.functional.group_norm": _group_norm,
    "nn.functional.instance_norm": _instance_norm,
    "nn.functional.layer_norm": _layer_norm,
    "native_layer_norm": _native_layer_norm,
    "nn.functional.local_response_norm": _response_norm,
    "nn.functional.rms_norm": _rms_norm,
    "nn.functional.rrelu": _rrelu,
    "nn.functional.scaled_dot_product_attention": _attention,
}
