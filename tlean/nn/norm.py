"""Normalisation and attention layers."""

from __future__ import annotations

import math
from typing import Any

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

    def forward(self, ops: Any, x: Any, mask: Any = None) -> Any:
        """The output.

        Args:
            x: `(N, n, D)` or `(n, D)`.
            mask: `(n, n)`, True where a token may attend.
        """
        return ops.multi_head_attention(self.wq, self.wk, self.wv, self.wo, x, self.heads, mask=mask)

    def extra(self) -> str:
        """Sizes."""
        return f"{self.wq.shape[0]}, heads={self.heads}"
