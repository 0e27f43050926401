"""Images resized and sampled, pools undone, bags of rows, and losses of sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

import tlean as tl

from ..compare import Gauged, Known
from ..samples import Skip
from .losses import _cross_entropy

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _resized(
    x: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> Any:
    size = tuple(size) if isinstance(size, list | tuple) else size
    return tl.interpolate(x, size, scale_factor, mode, align_corners, bool(recompute_scale_factor), antialias)


def _sampled(x: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: Any = None) -> Any:
    return tl.grid_sample(x, grid, mode, padding_mode, bool(align_corners))


def _sampled_by_number(x: Any, grid: Any, mode: int, padding: int, align_corners: bool) -> Any:
    if x.shape[0] * x.shape[1] * grid.shape[1] * grid.shape[2] * grid.shape[-2] > 1_000_000:
        raise Skip("millions of points, which say no more than thousands")
    return tl.grid_sample(x, grid, _MODES[mode], _PADDINGS[padding], align_corners)


def _unpooled(n: int) -> Any:
    def call(x: Any, places: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
        planes = places.reshape((-1, math.prod(places.shape[-n:])))
        if any(np.unique(plane).size < plane.size for plane in planes):
            raise Skip("one place of several maxima: whose derivative it is, is left open")
        kernel, padding = ((v,) * n if isinstance(v, int) else tuple(v) * (n // len(v)) for v in (kernel_size, padding))
        stride = None if not stride else (stride,) * n if isinstance(stride, int) else tuple(stride) * (n // len(stride))
        size = None if output_size is None else tuple(output_size)[-n:]
        return tl.max_unpool(x, places, kernel, stride, padding, size)

    return call


def _bags(
    table: Any, indices: Any, offsets: Any = None, max_norm: Any = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
    mode: str = "mean", sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False, padding_idx: Any = None,
) -> Any:  # fmt: skip
    if max_norm is not None or scale_grad_by_freq:
        raise Skip("an embedding that renormalises its table, or scales gradients by how often a row is read")
    if padding_idx is not None:
        raise Skip("bags that leave out an index")
    offsets = offsets[:-1] if include_last_offset else offsets
    return tl.embedding_bag(table, indices, offsets, mode, per_sample_weights)


def _sequences(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:  # fmt: skip
    log_probs = tl.log_softmax(log_probs, -1)
    return tl.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)


def _of_logits(call: Any) -> Any:
    # PyTorch's derivative is that of a log_softmax before it; so both get one.
    return lambda x, *args, **kwargs: call(torch.log_softmax(x, -1), *args, **kwargs)


def _linear_cross_entropy(x: Any, w: Any, target: Any, *, linear_bias: Any = None, ignore_index: Any = None, options: Any = None,
                          **more: Any) -> Any:  # fmt: skip
    scores = tl.tensordot(x, w, ((-1,), (-1,)))
    scores = scores if linear_bias is None else scores + linear_bias
    return _cross_entropy(scores, target, ignore_index=-100 if ignore_index is None else ignore_index, **more)


ADAPTERS = {
    **{f"nn.functional.interpolate.{mode}": _resized
       for mode in ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")},
    "nn.functional.upsample_bilinear": lambda x, size=None, scale_factor=None: tl.interpolate(x, size, scale_factor, "bilinear", True),
    "nn.functional.upsample_nearest": lambda x, size=None, scale_factor=None: tl.interpolate(x, size, scale_factor, "nearest"),
    "nn.functional.grid_sample": _sampled,
    "grid_sampler_2d": _sampled_by_number,
    "grid_sampler_3d": _sampled_by_number,
    **{f"nn.functional.max_unpool{n}d{end}": Known(_unpooled(n)) for n in (1, 2, 3) for end in ("", ".grad")},
    "nn.functional.embedding_bag": _bags,
    **{f"nn.functional.linear_cross_entropy{end}": _linear_cross_entropy for end in ("", ".chunked", ".chunked_none")},
    "nn.functional.ctc_loss": Gauged(_sequences, _of_logits),
}  # fmt: skip
