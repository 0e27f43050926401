"""Normalisation and attention layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tlean.arguments import truth
from tlean.errors import OptionError, ShapeError
from tlean.optim.updates import number

from .basic import positive
from .init import ones, xavier_uniform, zeros
from .module import Module, shape_of


class LayerNorm(Module):
    """γ·(x − mean)/√(var + ε) + β over the last axis.

    Args:
        size: of the last axis.
        eps: ε.
        affine: whether there are a γ and a β.

    Source: Ba, Kiros, Hinton 2016, equation 4.
    """

    def __init__(self, size: int, eps: float = 1e-5, affine: bool = True) -> None:
        positive("LayerNorm", size=size)
        self.size = size
        self.eps = number(f"{type(self).__name__}: eps", eps)
        affine = truth("LayerNorm: affine", affine)
        self.weight = self.parameter((size,), ones) if affine else None
        self.bias = self.parameter((size,), zeros) if affine else None

    def forward(self, ops: Any, x: Any) -> Any:
        """The output.

        Args:
            x: the last axis has the layer's size.

        Raises: ShapeError unless the last axis has the layer's size.
        """
        if not shape_of(self, x) or x.shape[-1] != self.size:
            raise ShapeError(f"LayerNorm: the last axis must have size {self.size}, got x: {shape_of(self, x)}")
        return ops.layer_norm(x, self.weight, self.bias, eps=self.eps)

    def extra(self) -> str:
        """The size."""
        return str(self.size)


class BatchNorm(Module):
    """Normalisation per channel by the statistics of the batch; in evaluation by running ones.

    In training the running statistics move by ops of the program, running ← (1 − momentum)·running + momentum·batch, with the unbiased
    variance, so an eager and a compiled step give them the same bits. On a session they are stored when the model's call returns; a
    program returns them (`Module.program`, `Bound.updates`).

    Args:
        channels: C.
        eps: ε.
        momentum: the share of the new batch, in [0, 1].

    Raises: OptionError for a momentum outside [0, 1].

    Shapes: x `(N, C, *in)`, any number of spatial axes, none too. Buffers: running_mean, running_var, `(C,)`.
    Source: Ioffe & Szegedy 2015, algorithms 1 and 2.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        positive("BatchNorm", channels=channels)
        if number("BatchNorm: momentum", momentum) > 1:
            raise OptionError(f"BatchNorm: momentum must be in [0, 1], got {momentum}")
        self.channels = channels
        self.eps = number(f"{type(self).__name__}: eps", eps)
        self.momentum = float(momentum)
        self.weight = self.parameter((channels,), ones)
        self.bias = self.parameter((channels,), zeros)
        self.running_mean: Any = self.parameter((channels,), zeros, buffer=True)
        self.running_var: Any = self.parameter((channels,), ones, buffer=True)

    def forward(self, ops: Any, x: Any) -> Any:
        """The output.

        Args:
            x: `(N, C, …)`.

        Raises: ShapeError for another number of channels, or, in training, fewer than 2 values per channel.
        """
        shape = shape_of(self, x)
        if len(shape) < 2 or shape[1] != self.channels:
            raise ShapeError(f"BatchNorm: x must be (N, {self.channels}, ...), got x: {shape}")
        # The ops take three axes as one image: a batch has at least four.
        wide = x if len(shape) >= 4 else ops.reshape(x, (*shape, *[1] * (4 - len(shape))))
        if ops.training(self):
            count = math.prod(shape) // self.channels
            if count < 2:
                raise ShapeError(f"BatchNorm: statistics take at least 2 values per channel in training, got x: {shape}")
            mean, var = ops.batch_stats(wide)
            for running, batch, factor in ((self.running_mean, mean, 1.0), (self.running_var, var, count / (count - 1))):
                ops.update(running, ops.add(ops.scale(running, 1 - self.momentum), ops.scale(batch, self.momentum * factor)))
            y = ops.batchnorm_channel_first(wide, self.weight, self.bias, eps=self.eps)
        else:
            y = ops.batchnorm_channel_first_eval(wide, self.weight, self.bias, self.running_mean, self.running_var, eps=self.eps)
        return y if wide is x else ops.reshape(y, shape)

    def extra(self) -> str:
        """The number of channels."""
        return str(self.channels)


class MultiHeadAttention(Module):
    """Self-attention in several heads, without biases.

    Args:
        size: D, the length of a token's vector.
        heads: H.
        head_size: h; D/H by default.

    Raises: ShapeError unless heads divides size or head_size is given.

    Shapes: x `(N, n, D)` or `(n, D)` → the same; mask `(n, n)`, True = may attend; weights wq, wk, wv `(D, H·h)`, wo `(H·h, D)`.

    To write text token by token, keys and values are kept:

        cache = attention.cache(ops, batch, length)                        # before the loop: zeros
        y, cache = attention(ops, x, cache=cache, position=i)              # of the tokens i, i + 1, …; in a loop the cache is a carry

    Source: Vaswani et al. 2017, section 3.2.
    """

    def __init__(self, size: int, heads: int, head_size: int | None = None) -> None:
        size, heads, each = positive("MultiHeadAttention", size=size, heads=heads, head_size=1 if head_size is None else head_size)
        if head_size is None and size % heads:
            raise ShapeError(f"MultiHeadAttention: heads divides size, got {size} and {heads}")
        inner = size if head_size is None else heads * each
        self.heads = heads
        self.wq = self.parameter((size, inner), xavier_uniform())
        self.wk = self.parameter((size, inner), xavier_uniform())
        self.wv = self.parameter((size, inner), xavier_uniform())
        self.wo = self.parameter((inner, size), xavier_uniform())

    def forward(self, ops: Any, x: Any, mask: Any = None, cache: Any = None, position: Any = 0) -> Any:
        """The output.

        Args:
            x: `(N, n, D)` or `(n, D)`; with a cache `(N, n, D)`.
            mask: `(n, n)`, True where a token may attend.
            cache: keys and values of the tokens before, as the method `cache` makes them: those of x are written to it, and each token
                attends to itself and to all before it.
            position: with a cache, the number of the first token of x: an int, or an integer of the program.

        Returns: of x's shape; with a cache a pair of it and the new cache.
        Raises: ShapeError for a cache of another shape, OptionError for one together with a mask.
        """
        if cache is None:
            return ops.multi_head_attention(self.wq, self.wk, self.wv, self.wo, x, self.heads, mask=mask)
        if mask is not None:
            raise OptionError("MultiHeadAttention: with a cache each token attends to those before it; leave the mask out")
        shape = shape_of(self, x)
        if len(shape) != 3 or shape[2] != self.wq.shape[0]:
            raise ShapeError(f"MultiHeadAttention: with a cache x must be (N, n, {self.wq.shape[0]}), got x: {shape}")
        batch, count, _ = shape
        form = batch, self.heads, cache[0].shape[2] if len(cache[0].shape) == 4 else 0, self.wq.shape[1] // self.heads
        if len(cache) != 2 or any(tuple(c.shape) != form for c in cache) or form[2] < count:
            wanted = f"(N, {self.heads}, n or more, {form[3]})"
            raise ShapeError(f"MultiHeadAttention: a cache must be a pair of {wanted}, got {[tuple(c.shape) for c in cache]}")
        q, k, v = (self._heads(ops, ops.matmul(x, w)) for w in (self.wq, self.wk, self.wv))
        keys, values = (ops.dynamic_update_slice(old, new, (0, 0, position, 0)) for old, new in zip(cache, (k, v), strict=True))
        last = ops.add(np.arange(count).reshape(count, 1), position)
        y = ops.scaled_dot_product_attention(q, keys, values, ops.less_equal(np.arange(form[2]), last))
        y = ops.reshape(y if count == 1 else ops.permute(y, (0, 2, 1, 3)), (batch, count, self.wq.shape[1]))
        return ops.matmul(y, self.wo), (keys, values)

    def cache(self, ops: Any, batch: int, length: int) -> tuple[Any, Any]:
        """Keys and values of no tokens yet: zeros, each `(batch, H, length, h)`.

        Args:
            ops: a backend.
            batch: N.
            length: how many tokens there will be at most.
        """
        batch, length = positive("MultiHeadAttention", batch=batch, length=length)
        zero = ops.zeros((batch, self.heads, length, self.wq.shape[1] // self.heads), dtype=self.wq.dtype)
        return zero, zero

    def _heads(self, ops: Any, y: Any) -> Any:
        # (N, n, H·h) -> (N, H, n, h)
        batch, count, inner = y.shape
        if count == 1:
            return ops.reshape(y, (batch, self.heads, 1, inner // self.heads))
        return ops.permute(ops.reshape(y, (batch, count, self.heads, inner // self.heads)), (0, 2, 1, 3))

    def extra(self) -> str:
        """Sizes."""
        return f"{self.wq.shape[0]}, heads={self.heads}"
