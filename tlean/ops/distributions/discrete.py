"""Discrete distributions, orders and choices: integers and Booleans, so without gradients."""

from __future__ import annotations

from typing import Any

from ...errors import OptionError, ShapeError
from ...shapes import Shape, as_shape, broadcast_shapes, normalize_axis, size, stretching
from ..registry import array, composite, whole
from .continuous import Setting, gumbel, plain


@composite
@stretching
def random_bernoulli(ops: Any, p: Any = 0.5, shape: Any = None, seed: Any = None, name: Any = None) -> Any:
    """Whether a uniform number is below a probability."""
    s = Setting(ops, shape, None, p=p)
    return ops.less(s.uniform(seed), s.array("p"), name=name)


@composite
@stretching
def random_poisson(ops: Any, rate: Any, shape: Any = None, seed: Any = None, name: Any = None) -> Any:
    """Counts."""
    s = Setting(ops, shape, None, rate=rate)
    return ops.apply("_rand_poisson", (ops.broadcast_to(s.array("rate"), s.shape), seed), {}, name)


@composite
@stretching
def random_randint(ops: Any, low: Any, high: Any, shape: Any = (), seed: Any = None, dtype: Any = "int64", name: Any = None) -> Any:
    """Whole numbers from low up to high, and without it."""
    first, last = whole("low", low), whole("high", high)
    if first >= last:
        raise OptionError(f"low must be below high, got {first} and {last}")
    span = last - first
    # All words of 64 bits are told from none by the span 0.
    options = {"shape": as_shape(shape), "low": first, "span": 0 if span == 1 << 64 else span, "dtype": dtype}
    if span >= 1 << 63 and span != 1 << 64:
        raise OptionError(f"high - low must be below 2^63, or 2^64, got {span}")
    return ops.apply("_rand_integers", (seed,), options, name)


def _order(ops: Any, n: int, seed: Any, name: str | None) -> Any:
    # The numbers 0 … n−1 in random order: that of n random words.
    words = ops.apply("_rand_integers", (seed,), {"shape": (n,), "low": -(1 << 63), "span": 0, "dtype": "int64"})
    return ops.argsort(words, 0, name=name)


def _count(x: Any) -> int | None:
    # The n of a call for the numbers 0 … n−1; None for an array.
    return whole("x", x) if plain(x) else None


@composite
@stretching
def random_permutation(ops: Any, x: Any, axis: Any = 0, seed: Any = None, name: Any = None) -> Any:
    """The numbers below n, or the entries of an array along an axis, in random order."""
    n = _count(x)
    if n is not None:
        if n < 0:
            raise OptionError(f"x must be at least 0, got {n}")
        return _order(ops, n, seed, name)
    x = array(ops, x, "x")
    if not x.shape:
        raise ShapeError("x must have an axis, got a number of shape ()")
    at = normalize_axis(axis, len(x.shape))
    return ops.take(x, _order(ops, x.shape[at], seed, None), at, name=name)


def _chosen(ops: Any, n: int, shape: Shape, replace: Any, p: Any, seed: Any, name: str | None) -> Any:
    # The places of what is chosen of n.
    if not isinstance(replace, bool):
        raise OptionError(f"replace must be True or False, got {replace!r}")
    count = size(shape)
    if not replace and count > n:
        raise OptionError(f"without replacement at most {n} can be chosen, got {count}")
    if n == 0 and count:
        raise OptionError("there must be something to choose from")
    if p is None:
        if replace:
            return ops.apply("_rand_integers", (seed,), {"shape": shape, "low": 0, "span": max(n, 1), "dtype": "int64"}, name)
        return ops.reshape(ops.slice_range0(_order(ops, n, seed, None), 0, count), shape, name=name)
    s = Setting(ops, None, None, p=p)
    if s.shape != (n,):
        raise ShapeError(f"p must have shape {(n,)}, got {s.shape}")
    if replace:
        total = ops.cumsum(s["p"], 0)
        share = ops.div(total, ops.slice_range0(total, n - 1, 1))
        return ops.searchsorted(share, s.uniform(seed, shape), "right", name=name)
    keys = ops.add(ops.log(s["p"]), gumbel(ops, s, seed, (n,)))
    return ops.reshape(ops.slice_range0(ops.argsort(keys, 0, True), 0, count), shape, name=name)


@composite
@stretching
def random_choice(ops: Any, x: Any, shape: Any = (), replace: Any = True, p: Any = None, seed: Any = None, name: Any = None) -> Any:
    """Of the numbers below n, or of the entries of an array along its first axis, some at random."""
    n, dims = _count(x), as_shape(shape)
    if n is not None:
        return _chosen(ops, n, dims, replace, p, seed, name)
    x = array(ops, x, "x")
    if not x.shape:
        raise ShapeError("x must have an axis, got a number of shape ()")
    return ops.take(x, _chosen(ops, x.shape[0], dims, replace, p, seed, None), 0, name=name)


@composite
@stretching
def random_categorical(ops: Any, logits: Any, shape: Any = None, seed: Any = None, name: Any = None) -> Any:
    """Classes by unnormalised logarithms of probabilities: where logits and Gumbel numbers have the greatest sum."""
    s = Setting(ops, None, None, logits=logits)
    x = s.array("logits")
    if not x.shape or not x.shape[-1]:
        raise ShapeError("logits must have an axis of at least one class")
    batch = tuple(x.shape[:-1])
    full = batch if shape is None else as_shape(shape)
    if broadcast_shapes(("shape", "logits"), [full, batch]) != full:
        raise ShapeError(f"logits without the axis of classes must broadcast to the shape {full}, got {batch}")
    return ops.argmax(ops.add(x, gumbel(ops, s, seed, (*full, x.shape[-1]))), -1, name=name)


@composite
@stretching
def random_multinomial(ops: Any, n: Any, p: Any, shape: Any = None, seed: Any = None, name: Any = None) -> Any:
    """How often each class comes in n draws."""
    count = whole("n", n)
    if count < 0:
        raise OptionError(f"n must be at least 0, got {count}")
    s = Setting(ops, None, None, p=p)
    x = s.array("p")
    if not x.shape or not x.shape[-1]:
        raise ShapeError("p must have an axis of at least one class")
    batch, classes = tuple(x.shape[:-1]), x.shape[-1]
    full = batch if shape is None else as_shape(shape)
    if broadcast_shapes(("shape", "p"), [full, batch]) != full:
        raise ShapeError(f"p without the axis of classes must broadcast to the shape {full}, got {batch}")
    total = ops.cumsum(x, len(batch))
    whole_of = ops.slice(total, (0,) * len(batch) + (classes - 1,), (*batch, classes))
    # How many draws fall below the upper end of each class; the differences are what falls in it.
    below = ops.less(s.uniform(seed, (count, *full, 1)), ops.div(total, whole_of))
    counts = ops.reduce_sum(below, 0)
    start = ops._full(shape=(*full, 1), value=0, dtype="int64")
    return ops.diff(ops.concat([start, counts], len(full)), 1, len(full), name=name)
