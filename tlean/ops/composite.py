"""Ops that other ops make up, and the identity that marks a differentiation's own variable."""

from __future__ import annotations

from typing import Any

from ..dtypes import ANY
from ..errors import OptionError, ShapeError, TleanError, complete, describe
from ..shapes import Shape
from .loss import check_labelled, label_options, reduction_name
from .registry import array, composite, defop


@defop("_identity", view=True, dtypes={"x": ANY}, out_dtype=ANY)
class Identity:
    """The same value under its own name: two identities of one value are two variables of differentiation."""

    def shape(x: Shape) -> Shape:
        return x

    def vjp(ops: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        return (g,)

    def jvp(ops: Any, t: Any, y: Any, x: Any) -> Any:
        return t[0]


def _global_avg_pool(ops: Any, x: Any, op: str, axes: tuple[int, ...], form: str, name: str | None) -> Any:
    x = array(ops, x, f"{op}: x")
    if len(x.shape) != len(axes) + axes[0]:
        raise complete(ShapeError(f"x has the shape {form}"), op, [describe("x", tuple(x.shape), x.dtype)])
    return ops.reduce_mean(x, axes, name=name)


@composite
def global_avg_pool2d_chw(ops: Any, x: Any, name: str | None = None) -> Any:
    """The mean of each channel: (C, H, W) → (C,)."""
    return _global_avg_pool(ops, x, "global_avg_pool2d_chw", (1, 2), "(C, H, W)", name)


@composite
def global_avg_pool2d_nchw(ops: Any, x: Any, name: str | None = None) -> Any:
    """The mean of each channel of each image: (N, C, H, W) → (N, C)."""
    return _global_avg_pool(ops, x, "global_avg_pool2d_nchw", (2, 3), "(N, C, H, W)", name)


def _parse(spec: str, a: Any, b: Any) -> tuple[str, str, str]:
    # "ij,jk->ik" as three words; every letter once within a word, one size per letter.
    if not isinstance(spec, str):
        raise OptionError('spec must be a string of the form "ij,jk->ik"')
    inputs, arrow, out = spec.replace(" ", "").partition("->")
    words = inputs.split(",")
    if not arrow or len(words) != 2:
        raise OptionError('spec must be of the form "ij,jk->ik", with two operands and the result named')
    for word in (*words, out):
        if not all(c.isascii() and c.isalpha() for c in word) or len(set(word)) != len(word):
            raise OptionError(f"spec names each axis by one letter, once in each operand, not {word!r}")
    if not set(out) <= set(words[0]) | set(words[1]):
        raise OptionError(f"spec: the result's letters {out!r} must occur in an operand")
    sizes: dict[str, int] = {}
    for word, x in zip(words, (a, b), strict=True):
        if len(word) != len(x.shape):
            raise ShapeError(f"spec gives {len(word)} letters {word!r} for {len(x.shape)} axes")
        for c, d in zip(word, x.shape, strict=True):
            if sizes.setdefault(c, d) != d:
                raise ShapeError(f"letter {c!r} must have one size, not {sizes[c]} and {d}")
    return words[0], words[1], out


@composite
def einsum(ops: Any, spec: str, a: Any, b: Any, name: str | None = None) -> Any:
    """A sum of products of two arrays, by permute, reshape and matmul.

    Letters fall into four kinds: in both operands and in the result (batch), in both and not in the result (contracted), in one and in the
    result (kept), in one alone (summed over first). With the axes of each kind side by side the whole is one batched matrix product.
    """
    a, b = array(ops, a, "einsum: a"), array(ops, b, "einsum: b")
    if not isinstance(spec, str):
        raise OptionError(f'einsum: spec must be a text such as "ij,jk->ik", got {type(spec).__name__}')
    try:
        wa, wb, out = _parse(spec, a, b)
    except (OptionError, ShapeError) as error:
        arguments = [describe("a", tuple(a.shape), a.dtype), describe("b", tuple(b.shape), b.dtype)]
        raise complete(error, "einsum", arguments, {"spec": spec}) from None
    size = dict(zip(wa, a.shape, strict=True)) | dict(zip(wb, b.shape, strict=True))

    def summed(x: Any, word: str, other: str) -> tuple[Any, str]:
        alone = tuple(i for i, c in enumerate(word) if c not in other and c not in out)
        return (ops.reduce_sum(x, alone), "".join(c for c in word if c in other or c in out)) if alone else (x, word)

    (a, wa), (b, wb) = summed(a, wa, wb), summed(b, wb, wa)
    batch = [c for c in out if c in wa and c in wb]
    contracted = [c for c in wa if c in wb and c not in out]
    rows, columns = [c for c in out if c in wa and c not in wb], [c for c in out if c in wb and c not in wa]

    def grouped(x: Any, word: str, groups: list[list[str]]) -> Any:
        letters = [c for group in groups for c in group]
        order = tuple(word.index(c) for c in letters)
        x = x if order == tuple(range(len(order))) else ops.permute(x, order)
        return ops.reshape(x, tuple(_product(size[c] for c in group) for group in groups))

    product = ops.matmul(grouped(a, wa, [batch, rows, contracted]), grouped(b, wb, [batch, contracted, columns]))
    letters = [*batch, *rows, *columns]
    order = tuple(letters.index(c) for c in out)
    shaped = ops.reshape(product, tuple(size[c] for c in letters), name=name if order == tuple(range(len(order))) else None)
    return shaped if order == tuple(range(len(order))) else ops.permute(shaped, order, name=name)


def _product(sizes: Any) -> int:
    n = 1
    for d in sizes:
        n *= d
    return n


# Losses ---------------------------------------------------------------------------------------------------------------


def _is_positive(value: Any) -> bool:
    """Whether an option is a number above 0."""
    try:
        return not isinstance(value, str | bytes) and float(value) > 0
    except (TypeError, ValueError):
        return False


def _checked(op: str, reduction: Any) -> str:
    """The reduction of a composite, whose errors are completed here."""
    try:
        return reduction_name(reduction)
    except OptionError as error:
        raise complete(error, op, [], {"reduction": reduction}) from None


def _finish(ops, op, args, reduction, name):
    """The op that gives the losses, and their reduction; the last node has the name."""
    if reduction == "none":
        return op(*args, name=name)
    losses = op(*args)
    return ops.sum(losses, name=name) if reduction == "sum" else ops.mean(losses, name=name)


@composite
def nll_loss(ops, log_probs, labels, weight=None, ignore_index=None, reduction="mean", *, name=None):
    """Negative log-likelihood of integer labels: −w[t] log_probs[t] for a label t, 0 for an ignored one."""
    log_probs = array(ops, log_probs, "nll_loss: log_probs")
    weight = None if weight is None else array(ops, weight, "nll_loss: weight")
    shape = tuple(log_probs.shape)
    try:
        options = label_options(ignore_index, reduction)
        label_shape = labels.shape if isinstance(getattr(labels, "shape", None), tuple) else shape[:-1]
        check_labelled(shape, label_shape, None if weight is None else tuple(weight.shape), "log_probs")
    except TleanError as error:
        raise complete(error, "nll_loss", [describe("log_probs", shape, log_probs.dtype)], {"reduction": reduction}) from None
    at_label = {"depth": shape[-1], "ignore_index": options["ignore_index"]}
    last = name if reduction == "none" else None
    picked = ops._pick(log_probs, labels, **at_label)
    if weight is None:
        losses = ops.neg(picked, name=last)
    else:
        weights = ops._pick(ops.broadcast_to(weight, shape), labels, **at_label)
        losses = ops.mul(ops.neg(picked), weights, name=last)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return ops.sum(losses, name=name)
    share = ops.sum(ops._one_hot(labels, **at_label, strict=True) if weight is None else weights)
    return ops.div(ops.sum(losses), share, name=name)


@composite
def l1_loss(ops, yhat, target, reduction="mean", *, name=None):
    """The mean (or sum, or array) of |yhat − target|."""
    return _finish(ops, ops.abs, (ops.sub(yhat, target),), _checked("l1_loss", reduction), name)


@composite
def huber_loss(ops, yhat, target, reduction="mean", delta=1.0, *, name=None):
    """Half the square of d = yhat − target where |d| ≤ delta, else delta (|d| − delta/2)."""
    if not _is_positive(delta):
        raise complete(OptionError("delta is a number greater than 0"), "huber_loss", [], {"delta": delta})
    delta = float(delta)
    d = ops.sub(yhat, target)
    # With c = d clamped to ±delta, both branches are c (d − c/2).
    c = ops.clamp(d, -delta, delta)
    return _finish(ops, ops.mul, (c, ops.sub(d, ops.scale(c, 0.5))), _checked("huber_loss", reduction), name)
