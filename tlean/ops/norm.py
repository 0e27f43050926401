"""Layer and batch normalisation."""

from __future__ import annotations

import math
from typing import Any

from ..errors import OptionError, ShapeError, completing
from ..shapes import size, stretching
from .registry import array, composite, defop, linear_jvp, whole
from .samples import Arr, bad, good


def _eps(eps: Any) -> dict[str, float]:
    value = float(eps)
    if not 0.0 <= value < math.inf:
        raise OptionError("eps must be finite and at least 0")
    return {"eps": value}


def _inverse_deviation(ops, var, eps):
    return ops.inv(ops.sqrt(ops.shift(var, eps)))


class _Statistics:
    """Mean and 1/√(variance + ε) of x over some axes, x normalised by them, and the way of one number per statistic over x and back."""

    def __init__(self, ops, x, axes, eps):
        self.ops, self.shape, self.axes = ops, x.shape, axes
        self.kept = tuple(a for a in range(len(x.shape)) if a not in axes)
        deviation = ops.sub(x, self.spread(self.mean(x)))
        self.rstd = _inverse_deviation(ops, self.mean(ops.square(deviation)), eps)
        self.normal = ops.mul(deviation, self.spread(self.rstd))

    def mean(self, x):
        return self.ops.reduce_mean(x, self.axes)

    def spread(self, s):
        return self.ops.broadcast_to(s, self.shape, axis_map=self.kept)

    def gradient(self, d_normal):
        """The cotangent of x from that of the normalised x."""
        ops = self.ops
        along = ops.mul(self.normal, self.spread(self.mean(ops.mul(d_normal, self.normal))))
        centered = ops.sub(ops.sub(d_normal, self.spread(self.mean(d_normal))), along)
        return ops.mul(self.spread(self.rstd), centered)


def _grad_sample(shape, groups, extra, eps):
    """Arguments of a gradient whose hints are right: x written out, and mean and 1/√(var + eps) of each group of its elements."""
    x = [((7 * i) % 11) / 4 - 1 for i in range(size(shape))]
    means, rstds = [], []
    for group in groups:
        values = [x[i] for i in group]
        mean = sum(values) / len(values)
        means.append(mean)
        rstds.append((sum((v - mean) ** 2 for v in values) / len(values) + eps) ** -0.5)
    hints = (Arr((len(groups),), "values", data=tuple(h)) for h in (means, rstds))
    # A hint stays what it is when x moves, so a finite difference means nothing.
    return good(shape, Arr(shape, "values", data=tuple(x)), extra, *hints, eps=eps, smooth=False)


# Layer normalisation ----------------------------------------------------------------------------------------------------


def _layer_norm_samples():
    return [
        good((3, 8)),
        good((3, 8), (8,), (8,)),
        good((2, 3, 5), (5,), None, eps=1e-3),
        good((2, 3, 5), None, (5,)),
        good((6,), (6,), (6,)),
        good((70, 33), (33,), (33,)),
        good((3, 130), (130,), (130,)),
        good((0, 4), (4,), (4,)),
        bad("ShapeError", ()),
        bad("ShapeError", (3, 0)),
        bad("ShapeError", (3, 4), (3,)),
        bad("ShapeError", (3, 4), (4,), (1,)),
        bad("OptionError", (3, 4), eps=-1.0),
    ]


def _rows(x):
    return (size(x[:-1]), x[-1])


@defop(
    "layer_norm",
    samples=_layer_norm_samples,
    optional=("gamma", "beta"),
    residuals=("mean", "rstd"),
    algebraic=False,
    source="Ba, Kiros & Hinton 2016, equation 4",
)
class LayerNorm:
    """γ (x − mean)/√(var + ε) + β over the last axis, var the biased variance. The residuals are mean and 1/√(var + ε)."""

    def options(x, gamma=None, beta=None, *, eps=1e-5):
        return _eps(eps)

    def shape(x, gamma=None, beta=None, *, eps):
        if not x or x[-1] == 0:
            raise ShapeError("x must have a last axis with at least one element")
        for name, v in (("gamma", gamma), ("beta", beta)):
            if v not in (None, (x[-1],)):
                raise ShapeError(f"{name} must have the size of x's last axis, {(x[-1],)}")
        return x

    def residual_specs(x, gamma, beta, *, eps):
        return [x[:-1], x[:-1]]

    def kernel_params(x, gamma, beta, *, eps):  # ints = (rows, length), floats = (eps,)
        return _rows(x), (eps,)

    def vjp(ops, g, y, x, gamma, beta, *, eps, mean, rstd):
        dx, dgamma, dbeta = ops._layer_norm_grad(g, x, gamma, mean, rstd, eps=eps)
        return dx, None if gamma is None else dgamma, None if beta is None else dbeta

    def decompose(ops, x, gamma, beta, *, eps):
        last = len(x.shape) - 1
        y = _Statistics(ops, x, (last,), eps).normal
        if gamma is not None:
            y = ops.mul(y, ops.broadcast_to(gamma, x.shape))
        return y if beta is None else ops.add(y, ops.broadcast_to(beta, x.shape))


def _layer_norm_grad_samples():
    rows = [range(5 * r, 5 * r + 5) for r in range(3)]
    return [_grad_sample((3, 5), rows, extra, 1e-3) for extra in (None, (5,))]


@defop("_layer_norm_grad", samples=_layer_norm_grad_samples, optional=("gamma",), outputs=("dx", "dgamma", "dbeta"), algebraic=False)
class LayerNormGrad:
    """The gradients of `layer_norm` to x, gamma and beta; `mean` and `rstd` are hints."""

    def shape(g, x, gamma, mean, rstd, *, eps):
        return [x, (x[-1],), (x[-1],)]

    def kernel_params(g, x, gamma, mean, rstd, *, eps):  # ints = (rows, length), floats = (eps,)
        return _rows(x), (eps,)

    def decompose(ops, g, x, gamma, mean, rstd, *, eps):
        last = len(x.shape) - 1
        statistics = _Statistics(ops, x, (last,), eps)
        d_normal = g if gamma is None else ops.mul(g, ops.broadcast_to(gamma, x.shape))
        rows = tuple(range(last))
        return statistics.gradient(d_normal), ops.reduce_sum(ops.mul(g, statistics.normal), rows), ops.reduce_sum(g, rows)


# Batch normalisation ----------------------------------------------------------------------------------------------------


def _channel_axis(x):
    # Three axes are one image (C, H, W); two, or more, have a batch axis in front.
    return 0 if len(x) == 3 else 1


def _check_channels(x, statistics, **per_channel):
    if len(x) < 2:
        raise ShapeError("x must be (C, H, W) or (N, C, ...)")
    channel = _channel_axis(x)
    if statistics and size(x) == 0:
        raise ShapeError("x must have at least one element along each axis")
    for name, v in per_channel.items():
        if v != (x[channel],):
            raise ShapeError(f"{name} must have one number for each of the {x[channel]} channels")


def _slabs(x):
    """(images, channels, elements of one channel of one image)."""
    channel = _channel_axis(x)
    return (size(x[:channel]), x[channel], size(x[channel + 1 :]))


def _reduced_axes(x):
    return tuple(a for a in range(len(x)) if a != _channel_axis(x))


def _over(ops, v, x):
    return ops.broadcast_to(v, x.shape, axis_map=(_channel_axis(x.shape),))


def _image_samples(*extra: Any):
    return [
        *(good(x, *(Arr((c,), kind) for kind in extra)) for x, c in _IMAGES),
        bad("ShapeError", (4,), *((4,) for _ in extra)),
    ]


#: Shapes and their numbers of channels: one image, batches with large, small and no spatial part, 1d and 3d.
_IMAGES = (
    ((2, 3, 5), 2), ((3, 2, 4, 5), 2), ((2, 3, 9, 9), 3), ((7, 5), 5), ((2, 2, 1, 3, 2), 2), ((2, 70, 2, 2), 70), ((130, 3), 3),
    ((1, 1, 1, 4), 1),
)  # fmt: skip


def _batchnorm_samples():
    return [
        *_image_samples("normal", "normal"),
        good((2, 3, 4, 4), (3,), (3,), eps=0.1),
        bad("ShapeError", (2, 3, 4, 4), (2,), (3,)),
        bad("ShapeError", (3, 4, 4), (4,), (4,)),
        bad("ShapeError", (0, 3, 4, 4), (3,), (3,)),
        bad("ShapeError", (2, 3, 0, 4), (3,), (3,)),
        bad("OptionError", (3, 4, 4), (3,), (3,), eps=-1e-9),
    ]


@defop(
    "batchnorm_channel_first",
    samples=_batchnorm_samples,
    residuals=("mean", "rstd"),
    algebraic=False,
    source="Ioffe & Szegedy 2015, algorithm 1",
)
class BatchNorm:
    """γ[c] (x − mean[c])/√(var[c] + ε) + β[c] by the statistics of x over every axis but the channel's, var the biased variance."""

    def options(x, gamma, beta, *, eps=1e-5):
        return _eps(eps)

    def shape(x, gamma, beta, *, eps):
        _check_channels(x, True, gamma=gamma, beta=beta)
        return x

    def residual_specs(x, gamma, beta, *, eps):
        return [gamma, gamma]

    def kernel_params(x, gamma, beta, *, eps):  # ints = (images, channels, elements), floats = (eps,)
        return _slabs(x), (eps,)

    def vjp(ops, g, y, x, gamma, beta, *, eps, mean, rstd):
        return ops._batchnorm_grad(g, x, gamma, mean, rstd, eps=eps)

    def decompose(ops, x, gamma, beta, *, eps):
        normal = _Statistics(ops, x, _reduced_axes(x.shape), eps).normal
        return ops.add(ops.mul(normal, _over(ops, gamma, x)), _over(ops, beta, x))


def _batchnorm_grad_samples():
    image = [range(6 * c, 6 * c + 6) for c in range(2)]
    batch = [range(c, 12, 3) for c in range(3)]
    return [_grad_sample((2, 2, 3), image, (2,), 1e-3), _grad_sample((4, 3), batch, (3,), 1e-5)]


@defop("_batchnorm_grad", samples=_batchnorm_grad_samples, outputs=("dx", "dgamma", "dbeta"), algebraic=False)
class BatchNormGrad:
    """The gradients of `batchnorm_channel_first` to x, gamma and beta; `mean` and `rstd` are hints."""

    def shape(g, x, gamma, mean, rstd, *, eps):
        return [x, gamma, gamma]

    def kernel_params(g, x, gamma, mean, rstd, *, eps):  # ints = (images, channels, elements), floats = (eps,)
        return _slabs(x), (eps,)

    def decompose(ops, g, x, gamma, mean, rstd, *, eps):
        axes = _reduced_axes(x.shape)
        statistics = _Statistics(ops, x, axes, eps)
        dx = statistics.gradient(ops.mul(g, _over(ops, gamma, x)))
        return dx, ops.reduce_sum(ops.mul(g, statistics.normal), axes), ops.reduce_sum(g, axes)


def _eval_samples():
    return [
        *_image_samples("normal", "normal", "normal", "positive"),
        good((0, 3, 4, 4), (3,), (3,), (3,), Arr((3,), "positive"), eps=0.5),
        bad("ShapeError", (2, 3, 4, 4), (3,), (3,), (3,), (2,)),
    ]


@defop("batchnorm_channel_first_eval", samples=_eval_samples, algebraic=False, source="Ioffe & Szegedy 2015, algorithm 2")
class BatchNormEval:
    """γ[c] (x − mean[c])/√(var[c] + ε) + β[c] by given statistics."""

    def options(x, gamma, beta, mean, var, *, eps=1e-5):
        return _eps(eps)

    def shape(x, gamma, beta, mean, var, *, eps):
        _check_channels(x, False, gamma=gamma, beta=beta, mean=mean, var=var)
        return x

    def kernel_params(x, gamma, beta, mean, var, *, eps):  # ints = (images, channels, elements), floats = (eps,)
        return _slabs(x), (eps,)

    def decompose(ops, x, gamma, beta, mean, var, *, eps):
        factor = ops.mul(gamma, _inverse_deviation(ops, var, eps))
        return ops.add(ops.mul(ops.sub(x, _over(ops, mean, x)), _over(ops, factor, x)), _over(ops, beta, x))


class _PerChannel:
    # One number for each channel.
    def shape(x):
        _check_channels(x, True)
        return (x[_channel_axis(x)],)

    def kernel_params(x):  # (images, channels, elements)
        return _slabs(x), ()


@defop("_batch_mean", samples=_image_samples)
class BatchMean(_PerChannel):
    """The mean of each channel."""

    def vjp(ops, g, y, x):
        return (_over(ops, ops.scale(g, g.shape[0] / size(x.shape)), x),)

    jvp = linear_jvp("_batch_mean")

    def decompose(ops, x):
        return ops.reduce_mean(x, _reduced_axes(x.shape))


@defop("_batch_var", samples=_image_samples)
class BatchVar(_PerChannel):
    """The biased variance of each channel."""

    def decompose(ops, x):
        deviation = ops.sub(x, _over(ops, ops.reduce_mean(x, _reduced_axes(x.shape)), x))
        return ops.reduce_mean(ops.square(deviation), _reduced_axes(x.shape))


@composite
def batch_stats(ops, x, *, name=None):
    """The mean and the biased variance of each channel."""
    return ops._batch_mean(x), ops._batch_var(x)


# Norms made of others ---------------------------------------------------------------------------------------------------------


@composite
@stretching
def rms_norm(ops, x, weight=None, eps=1e-5, *, name=None):
    """x over the root of the mean of its squares along the last axis, times a weight."""
    x, weight = array(ops, x, "rms_norm: x"), array(ops, weight)
    with completing("rms_norm", x=x, weight=weight, eps=eps):
        added = _eps(eps)["eps"]
        if not x.shape or x.shape[-1] < 1:
            raise ShapeError("x must have a last axis of at least one entry")
        if weight is not None and tuple(weight.shape) != (x.shape[-1],):
            raise ShapeError(f"weight must have shape ({x.shape[-1]},)")
        root = ops.sqrt(ops.shift(ops.reduce_mean(ops.square(x), -1, True), added))
        return ops.div(x, root, name=name) if weight is None else ops.mul(ops.div(x, root), weight, name=name)


def _by_groups(ops, x, groups, weight, bias, eps, name):
    # Each group of channels of each image less its mean, over its deviation; then a weight and a bias of each channel.
    if len(x.shape) < 2:
        raise ShapeError("x must have a batch axis and one of channels")
    n, channels = x.shape[:2]
    if groups < 1 or channels % groups:
        raise OptionError(f"groups must divide the {channels} channels of x")
    for what, v in (("weight", weight), ("bias", bias)):
        if v is not None and tuple(v.shape) != (channels,):
            raise ShapeError(f"{what} must have shape ({channels},)")
    cells = size(x.shape[1:]) // groups
    y = ops.reshape(ops.layer_norm(ops.reshape(x, (n, groups, cells)), None, None, eps), tuple(x.shape))
    per_channel = (channels, *(1,) * (len(x.shape) - 2))
    y = y if weight is None else ops.mul(y, ops.reshape(weight, per_channel))
    y = y if bias is None else ops.add(y, ops.reshape(bias, per_channel))
    return y if name is None else ops.reshape(y, tuple(x.shape), name=name)


@composite
@stretching
def group_norm(ops, x, groups, weight=None, bias=None, eps=1e-5, *, name=None):
    """Each group of channels of each image less its mean, over its deviation."""
    x, weight, bias = array(ops, x, "group_norm: x"), array(ops, weight), array(ops, bias)
    with completing("group_norm", x=x, groups=groups, weight=weight, bias=bias, eps=eps):
        return _by_groups(ops, x, whole("groups", groups), weight, bias, eps, name)


@composite
@stretching
def instance_norm(ops, x, weight=None, bias=None, eps=1e-5, *, name=None):
    """Each channel of each image less its mean, over its deviation."""
    x, weight, bias = array(ops, x, "instance_norm: x"), array(ops, weight), array(ops, bias)
    with completing("instance_norm", x=x, weight=weight, bias=bias, eps=eps):
        return _by_groups(ops, x, x.shape[1] if len(x.shape) > 1 else 1, weight, bias, eps, name)
