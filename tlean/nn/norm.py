"""Normalisation and attention layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlean._core.array import read_array
from tlean.arguments import each, truth
from tlean.errors import OptionError, ShapeError
from tlean.optim.updates import number

from .basic import positive
from .init import ones, xavier_uniform, zeros
from .module import Module, shape_of

if TYPE_CHECKING:
    from tlean.param import Param


class LayerNorm(Module):
    """γ·(x − mean)/√(var + ε) + β over the last axis, or over several.

    Args:
        size: of the last axis, or of the last axes.
        eps: ε.
        affine: whether there are a γ and a β.
        bias: whether there is a β beside γ.

    Raises: OptionError for no axis.

    Source: Ba, Kiros, Hinton 2016, equation 4.
    """

    def __init__(self, size: int | Sequence[int], eps: float = 1e-5, affine: bool = True, bias: bool = True) -> None:
        sizes = (size,) if hasattr(size, "__index__") else each("LayerNorm", "sizes", size)
        self.sizes: tuple[int, ...] = positive(
            "LayerNorm", **{f"size[{k}]" if sizes != (size,) else "size": n for k, n in enumerate(sizes)}
        )
        if not self.sizes:
            raise OptionError(f"LayerNorm: size must be an int or some, got {size!r}")
        self.eps: float = number(f"{type(self).__name__}: eps", eps)
        affine, bias = truth("LayerNorm: affine", affine), truth("LayerNorm: bias", bias)
        self.weight: Param | None = self.parameter(self.sizes, ones) if affine else None
        self.bias: Param | None = self.parameter(self.sizes, zeros) if affine and bias else None

    def forward(self, ops: Any, x: Any) -> Any:
        """The output.

        Args:
            x: the last axes have the layer's sizes.

        Raises: ShapeError unless the last axes have the layer's sizes.
        """
        shape, k = shape_of(self, x), len(self.sizes)
        if shape[-k:] != self.sizes:
            wanted = f"axis must have size {self.sizes[0]}" if k == 1 else f"axes must have sizes {self.sizes}"
            raise ShapeError(f"LayerNorm: the last {wanted}, got x: {shape}")
        if k == 1:
            return ops.layer_norm(x, self.weight, self.bias, eps=self.eps)
        flat = [None if p is None else ops.flatten(p) for p in (self.weight, self.bias)]
        y = ops.layer_norm(ops.reshape(x, (*shape[:-k], math.prod(self.sizes))), *flat, eps=self.eps)
        return ops.reshape(y, shape)

    def extra(self) -> str:
        """The size, and no β."""
        size = str(self.sizes[0] if len(self.sizes) == 1 else self.sizes)
        return size + (", bias=False" if self.weight is not None and self.bias is None else "")


class BatchNorm(Module):
    """Normalisation per channel by the statistics of the batch; in evaluation by running ones.

    In training the running statistics move by ops of the program, running ← (1 − momentum)·running + momentum·batch, with the unbiased
    variance, so an eager and a compiled step give them the same bits. On a session they are stored when the model's call returns; a
    program returns them (`Module.program`, `Bound.updates`).

    Args:
        channels: C.
        eps: ε.
        momentum: the share of the new batch, in [0, 1]; None for the mean of all batches.
        affine: whether there are a γ and a β.
        track: whether there are running statistics; without them those of the batch serve in evaluation too.

    Raises: OptionError for a momentum outside [0, 1].

    Shapes: x `(N, C, *in)`, any number of spatial axes, none too. Buffers: running_mean, running_var, `(C,)`.
    Source: Ioffe & Szegedy 2015, algorithms 1 and 2.

    Example:
        >>> layer = tl.nn.BatchNorm(3).init(0)
        >>> layer.predict(np.ones((2, 3, 4), np.float32)).shape, list(layer.named_state())
        ((2, 3, 4), ['weight', 'bias', 'running_mean', 'running_var'])
    """

    track: bool

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track: bool = True) -> None:
        positive("BatchNorm", channels=channels)
        if momentum is not None and number("BatchNorm: momentum", momentum) > 1:
            raise OptionError(f"BatchNorm: momentum must be in [0, 1], got {momentum}")
        affine, self.track = truth("BatchNorm: affine", affine), truth("BatchNorm: track", track)
        self.channels = channels
        self.eps: float = number(f"{type(self).__name__}: eps", eps)
        self.momentum: float | None = None if momentum is None else float(momentum)
        self.weight: Param | None = self.parameter((channels,), ones) if affine else None
        self.bias: Param | None = self.parameter((channels,), zeros) if affine else None
        self.running_mean: Any = self.parameter((channels,), zeros, buffer=True) if self.track else None
        self.running_var: Any = self.parameter((channels,), ones, buffer=True) if self.track else None
        self.batches: Any = self.parameter((1,), zeros, buffer=True) if self.track and momentum is None else None

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
        weight, bias = self.weight, self.bias
        if weight is None:
            weight, bias = ops.ones((self.channels,), dtype=str(x.dtype)), ops.zeros((self.channels,), dtype=str(x.dtype))
        if ops.training(self) or not self.track:
            count = math.prod(shape) // self.channels
            if count < 2:
                raise ShapeError(f"BatchNorm: statistics take at least 2 values per channel in training, got x: {shape}")
            if self.track:
                mean, var = ops.batch_stats(wide)
                self._move(ops, mean, var, count / (count - 1))
            y = ops.batchnorm_channel_first(wide, weight, bias, eps=self.eps)
        else:
            y = ops.batchnorm_channel_first_eval(wide, weight, bias, self.running_mean, self.running_var, eps=self.eps)
        return y if wide is x else ops.reshape(y, shape)

    def _move(self, ops: Any, mean: Any, var: Any, unbiased: float) -> None:
        # The running statistics after one more batch.
        pairs = ((self.running_mean, mean, 1.0), (self.running_var, var, unbiased))
        if self.momentum is not None:
            for running, batch, factor in pairs:
                ops.update(running, ops.add(ops.scale(running, 1 - self.momentum), ops.scale(batch, self.momentum * factor)))
            return
        number_of = ops.shift(self.batches, 1.0)
        share = ops.broadcast_to(ops.inv(number_of), (self.channels,))
        for running, batch, factor in pairs:
            ops.update(running, ops.add(running, ops.mul(ops.sub(ops.scale(batch, factor), running), share)))
        ops.update(self.batches, number_of)

    def extra(self) -> str:
        """The number of channels, and options that are not the defaults."""
        parts = [str(self.channels)] + (["momentum=None"] if self.momentum is None else [])
        return ", ".join(parts + ([] if self.weight else ["affine=False"]) + ([] if self.track else ["track=False"]))


class MultiHeadAttention(Module):
    """Attention in several heads: of tokens to each other, or to those of a context.

    Args:
        size: D, the length of a token's vector.
        heads: H.
        head_size: h; D/H by default.
        bias: whether the four projections have biases.
        dropout: the probability that an attention weight is dropped in training, in [0, 1).

    Raises: ShapeError unless heads divides size or head_size is given.

    Shapes: x `(N, n, D)` or `(n, D)` → the same; context `(N, m, D)` or `(m, D)`; weights wq, wk, wv `(D, H·h)`, wo `(H·h, D)`.

    To write text token by token, keys and values are kept:

        cache = attention.cache(ops, batch, length)                        # before the loop: zeros
        y, cache = attention(ops, x, cache=cache, position=i)              # of the tokens i, i + 1, …; in a loop the cache is a carry

    Source: Vaswani et al. 2017, section 3.2.

    Example:
        >>> layer = tl.nn.MultiHeadAttention(8, 2).init(0)
        >>> layer.predict(np.ones((2, 5, 8), np.float32)).shape
        (2, 5, 8)
    """

    heads: int
    dropout: float
    bq: Param | None
    bk: Param | None
    bv: Param | None

    def __init__(self, size: int, heads: int, head_size: int | None = None, bias: bool = False, dropout: float = 0.0) -> None:
        size, heads, each = positive("MultiHeadAttention", size=size, heads=heads, head_size=1 if head_size is None else head_size)
        if head_size is None and size % heads:
            raise ShapeError(f"MultiHeadAttention: heads divides size, got {size} and {heads}")
        inner = size if head_size is None else heads * each
        self.heads, self.dropout = heads, number("MultiHeadAttention: dropout", dropout, 0.0, 1.0)
        self.wq: Param = self.parameter((size, inner), xavier_uniform())
        self.wk: Param = self.parameter((size, inner), xavier_uniform())
        self.wv: Param = self.parameter((size, inner), xavier_uniform())
        self.wo: Param = self.parameter((inner, size), xavier_uniform())
        biased = truth("MultiHeadAttention: bias", bias)
        self.bq, self.bk, self.bv = (self.parameter((inner,), zeros) if biased else None for _ in range(3))
        self.bo: Param | None = self.parameter((size,), zeros) if biased else None

    def forward(self, ops: Any, x: Any, mask: Any = None, context: Any = None, cache: Any = None, position: Any = 0) -> Any:
        """The output.

        Args:
            x: `(N, n, D)` or `(n, D)`; with a cache `(N, n, D)`.
            mask: `(n, m)`, of Booleans, True where a token may attend, or of floats, which are added to the scores.
            context: what is attended to; None for x itself.
            cache: keys and values of the tokens before, as the method `cache` makes them: those of x are written to it, and each token
                attends to itself and to all before it.
            position: with a cache, the number of the first token of x: an int, or an integer of the program.

        Returns: of x's shape; with a cache a pair of it and the new cache.
        Raises: ShapeError for a cache of another shape, OptionError for one together with a mask or a context.
        """
        dropout = self.dropout if self.dropout and ops.training(self) else None
        if cache is not None:
            if mask is not None or context is not None:
                raise OptionError("MultiHeadAttention: with a cache each token attends to those before it; leave mask and context out")
            return self._cached(ops, x, cache, position, dropout)
        if mask is not None and not hasattr(mask, "dtype"):
            mask = read_array(mask)
        floats = mask is not None and str(mask.dtype) != "bool"
        if context is None and self.bq is None and dropout is None and not floats:
            return ops.multi_head_attention(self.wq, self.wk, self.wv, self.wo, x, self.heads, mask=mask)
        other = x if context is None else context
        if (shape := shape_of(self, other)) != (*shape_of(self, x)[:-2], *shape[-2:-1], self.wq.shape[0]) or len(shape) not in (2, 3):
            wanted = f"(N, m, {self.wq.shape[0]}) or (m, {self.wq.shape[0]})"
            raise ShapeError(f"MultiHeadAttention: a context must be {wanted}, as x, got context: {shape}, x: {shape_of(self, x)}")
        q = self._heads(ops, x, self.wq, self.bq)
        k, v = self._heads(ops, other, self.wk, self.bk), self._heads(ops, other, self.wv, self.bv)
        return self._joined(ops, ops.scaled_dot_product_attention(q, k, v, mask, dropout=dropout))

    def _cached(self, ops: Any, x: Any, cache: Any, position: Any, dropout: float | None) -> Any:
        shape = shape_of(self, x)
        if len(shape) != 3 or shape[2] != self.wq.shape[0]:
            raise ShapeError(f"MultiHeadAttention: with a cache x must be (N, n, {self.wq.shape[0]}), got x: {shape}")
        batch, count, _ = shape
        shapes: Any = [tuple(getattr(c, "shape", ())) for c in cache] if isinstance(cache, tuple | list) else type(cache).__name__
        length = shapes[0][2] if len(shapes) == 2 and len(shapes[0]) == 4 else 0
        form = batch, self.heads, length, self.wq.shape[1] // self.heads
        if shapes != [form, form] or length < count:
            wanted = f"(N, {self.heads}, n or more, {form[3]})"
            raise ShapeError(f"MultiHeadAttention: a cache must be a pair of {wanted}, got {shapes}")
        q, k, v = (self._heads(ops, x, w, b) for w, b in ((self.wq, self.bq), (self.wk, self.bk), (self.wv, self.bv)))
        keys, values = (ops.dynamic_update_slice(old, new, (0, 0, position, 0)) for old, new in zip(cache, (k, v), strict=True))
        last = ops.add(np.arange(count).reshape(count, 1), position)
        y = ops.scaled_dot_product_attention(q, keys, values, ops.less_equal(np.arange(length), last), dropout=dropout)
        return self._joined(ops, y), (keys, values)

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

    def _heads(self, ops: Any, x: Any, w: Any, b: Any) -> Any:
        # (*k, n, D) as (*k, H, n, h). One token needs no exchange of axes.
        y = ops.matmul(x, w)
        y = y if b is None else ops.add(y, b)
        *before, count, inner = y.shape
        if count == 1:
            return ops.reshape(y, (*before, self.heads, 1, inner // self.heads))
        return ops.swapaxes(ops.reshape(y, (*before, count, self.heads, inner // self.heads)), -3, -2)

    def _joined(self, ops: Any, y: Any) -> Any:
        # The heads (*k, H, n, h) side by side and projected: (*k, n, D).
        *before, heads, count, each = y.shape
        y = ops.reshape(y if count == 1 else ops.swapaxes(y, -3, -2), (*before, count, heads * each))
        y = ops.matmul(y, self.wo)
        return y if self.bo is None else ops.add(y, self.bo)

    def extra(self) -> str:
        """Sizes, and options that are not the defaults."""
        parts = [f"{self.wq.shape[0]}, heads={self.heads}"] + (["bias=True"] if self.bq else [])
        return ", ".join(parts + ([f"dropout={self.dropout}"] if self.dropout else []))
