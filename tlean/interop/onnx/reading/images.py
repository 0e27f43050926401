"""Images resized and read at points."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .registry import Call, axis_of, reads, whole
from .sizes import require_parts, require_size


def _sources(c: Call, how: str, n: int, out: int, scale: float, roi: tuple[float, float]) -> np.ndarray:
    # Where each cell of the result lies along an axis of n cells.
    i, long = np.arange(out, dtype=np.float64), scale * n
    if how == "align_corners":
        return i * (n - 1) / (long - 1) if long != 1 else 0 * i
    if how == "asymmetric":
        return i / scale
    if how == "tf_crop_and_resize":
        start, end = roi
        inside = i * (end - start) * (n - 1) / (long - 1) if long != 1 else np.full(out, (end - start) * (n - 1) / 2)
        return inside + start * (n - 1)
    if how == "pytorch_half_pixel" and long == 1:
        return np.full(out, -0.5)
    u = (i + 0.5) / scale - 0.5
    if how == "half_pixel_symmetric":
        return u + n / 2 * (1 - out / long)
    if how not in ("half_pixel", "pytorch_half_pixel"):
        raise c.refuse(f"coordinate_transformation_mode {how}")
    return u


_NEAREST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda u: np.ceil(u - 0.5),
    "round_prefer_ceil": lambda u: np.floor(u + 0.5),
}


def _weights(c: Call, mode: str, u: np.ndarray, scale: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    # The cells that each cell of the result is the sum of, and their weights.
    narrow = min(scale, 1.0) if c.get("antialias", 0) else 1.0
    reach = {"linear": 1, "cubic": 2}[mode]
    half = 1 - math.floor(1 - reach / narrow - 1) if narrow < 1 else reach
    require_parts(c.kind, 2 * half)
    places = np.ceil(u)[:, None] - half + np.arange(2 * half)
    t = np.abs(places - u[:, None]) * narrow
    if mode == "linear":
        weights = np.clip(1 - t, 0, 1)
    else:
        a = c.get("cubic_coeff_a", -0.75)
        near, far = ((a + 2) * t - (a + 3)) * t * t + 1, ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        weights = np.where(t <= 1, near, np.where(t < 2, far, 0))
    if c.get("exclude_outside", 0):
        weights = np.where((places < 0) | (places >= n), 0, weights)
    if narrow < 1 or c.get("exclude_outside", 0):
        total = weights.sum(1, keepdims=True)
        weights = weights / np.where(total == 0, 1, total)
    return np.clip(places, 0, n - 1).astype(np.int64), weights


def _along(c: Call, x: Any, axis: int, mode: str, u: np.ndarray, scale: float) -> Any:
    n, rank = x.shape[axis], len(x.shape)
    if mode == "nearest":
        rule = _NEAREST.get(c.get("nearest_mode", "round_prefer_floor") if c.opset > 10 else "floor")
        if rule is None:
            raise c.refuse(f"nearest_mode {c.get('nearest_mode')}")
        return c.ops.take(x, c.ref(np.clip(rule(u), 0, n - 1).astype(np.int64)), axis=axis)
    places, weights = _weights(c, mode, u, scale, n)
    total = None
    for k in range(places.shape[1]):
        if not weights[:, k].any():
            continue
        shape = [-1 if a == axis else 1 for a in range(rank)]
        part = c.ops.take(x, c.ref(places[:, k]), axis=axis)
        part = c.ops.mul(part, c.ref(weights[:, k].reshape(shape).astype(str(x.dtype))))
        total = part if total is None else c.ops.add(total, part)
    return total if total is not None else c.ops.scale(c.ops.take(x, c.ref(places[:, 0]), axis=axis), 0.0)


def _sizes(c: Call, x: Any, axes: list[int], scales: Any, sizes: Any) -> tuple[list[int], list[float]]:
    # The sizes of the result along these axes, and the factors.
    have = [x.shape[a] for a in axes]
    if scales is not None and np.size(scales):
        factors = [float(f) for f in np.asarray(scales).reshape(-1)]
        return [math.floor(f * n) for f, n in zip(factors, have, strict=True)], factors
    wanted = whole(sizes)
    if wanted is None:
        raise c.refuse("without scales and sizes")
    factors = [o / n for o, n in zip(wanted, have, strict=True)]
    policy = c.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return wanted, factors
    one = min(factors) if policy == "not_larger" else max(factors)
    return [int(one * n + 0.5) for n in have], [one] * len(axes)


@reads("Resize", "Upsample", known=(1, 2, 3))
def _resize(c: Call, x: Any, *given: Any) -> Any:
    old = c.kind == "Upsample" or c.opset < 11
    roi, scales, sizes = (None, given[0] if given else c.get("scales"), None) if old else (*given, None, None, None)[:3]
    rank = len(x.shape)
    axes = [axis_of(a, rank) for a in c.get("axes") or range(rank)]
    mode, how = c.get("mode", "nearest"), "asymmetric" if old else c.get("coordinate_transformation_mode", "half_pixel")
    if mode not in ("nearest", "linear", "cubic"):
        raise c.refuse(f"mode {mode}")
    out, factors = _sizes(c, x, axes, scales, sizes)
    whole_numbers = not x.dtype.startswith("float") and mode != "nearest"
    dtype = str(x.dtype)
    y = c.cast(x, "float64") if whole_numbers else x
    ends = np.asarray(roi, np.float64).reshape(2, -1) if how == "tf_crop_and_resize" else None
    for k, (axis, o, factor) in enumerate(zip(axes, out, factors, strict=True)):
        n = x.shape[axis]
        own = (0.0, 1.0) if ends is None else (float(ends[0, k]), float(ends[1, k]))
        if n == o and math.isclose(factor, 1) and own == (0.0, 1.0):
            continue
        if n < 1:
            raise c.refuse("an axis of no cells")
        require_size(c.kind, o, 1 << 24)
        u = _sources(c, how, n, o, factor, own)
        y = _along(c, y, axis, mode, u, factor)
        outside = (u < 0) | (u > n - 1)
        if ends is not None and outside.any():
            shape = [-1 if a == axis else 1 for a in range(rank)]
            y = c.ops.where(c.ref(outside.reshape(shape)), c.number(c.get("extrapolation_value", 0.0), y), y)
    return _saturated(c, y, dtype) if whole_numbers else y


def _saturated(c: Call, y: Any, dtype: str) -> Any:
    name = c.dtypes[0] or dtype
    info = np.iinfo(name) if name in ("int8", "uint8", "int16", "uint16", "int32", "int64", "uint32") else np.iinfo("int64")
    return c.cast(c.ops.clamp(c.ops.round(y), float(info.min), float(info.max)), dtype)


@reads("GridSample")
def _grid_sample(c: Call, x: Any, grid: Any) -> Any:
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(c.get("mode", "linear"), c.get("mode", "bilinear"))
    return c.ops.grid_sample(x, grid, mode, c.get("padding_mode", "zeros"), bool(c.get("align_corners", 0)))


def _bilinear(c: Call, x: Any, v: Any, u: Any, border: bool, most: bool = False) -> Any:
    # The cells of x, (N, C, H, W), at rows v and columns u, (N, P), as (N, C, P): zeros outside, or the cells of the border. With `most`
    # the largest of the four weighted cells in place of their sum.
    ops, (n, channels, height, width), count = c.ops, x.shape, u.shape[1]
    flat = ops.reshape(x, (n, channels, height * width))
    axes = []
    for place, size in ((v, height), (u, width)):
        place = ops.clamp(place, 0.0, size - 1.0) if border else place
        low = ops.detach(ops.floor(place))
        part = ops.sub(place, low)
        axes.append([(low, ops.shift(ops.neg(part), 1.0)), (ops.shift(low, 1.0), part)])
    total = None
    for row, a in axes[0]:
        for column, b in axes[1]:
            inside = ops.logical_and(_within(c, row, height), _within(c, column, width))
            at = ops.add(ops.scale(ops.clamp(row, 0.0, height - 1.0), float(width)), ops.clamp(column, 0.0, width - 1.0))
            part = ops.take_along_axis(flat, ops.reshape(c.cast(at, "int64"), (n, 1, count)), axis=-1)
            weight = ops.where(inside, ops.mul(a, b), c.number(0, a))
            part = ops.mul(part, ops.reshape(weight, (n, 1, count)))
            total = part if total is None else (ops.max if most else ops.add)(total, part)
    return total


def _within(c: Call, place: Any, size: int) -> Any:
    return c.ops.logical_and(c.ops.greater_equal(place, c.number(0, place)), c.ops.less_equal(place, c.number(size - 1, place)))


@reads("DeformConv")
def _deform_conv(c: Call, x: Any, w: Any, offset: Any, b: Any = None, mask: Any = None) -> Any:
    if len(x.shape) != 4:
        raise c.refuse(f"with {len(x.shape) - 2} spatial axes")
    ops, (n, channels, height, width), (kh, kw) = c.ops, x.shape, w.shape[2:]
    groups, steps, gaps = c.get("offset_group", 1), c.get("strides", [1, 1]), c.get("dilations", [1, 1])
    top, left = c.get("pads", [0] * 4)[:2]
    oh, ow = offset.shape[2:]
    points = kh * kw * oh * ow
    # (N, G, KH·KW, 2, OH, OW), and the places that a convolution reads.
    moved = ops.permute(ops.reshape(offset, (n * groups, kh * kw, 2, oh, ow)), (2, 0, 1, 3, 4))
    moved = ops.reshape(moved, (2, n * groups, points))
    rows = np.arange(kh).reshape(-1, 1, 1, 1) * gaps[0] + np.arange(oh).reshape(-1, 1) * steps[0] - top
    columns = np.arange(kw).reshape(-1, 1, 1) * gaps[1] + np.arange(ow) * steps[1] - left
    places = []
    for k, base in enumerate((rows, columns)):
        own = np.broadcast_to(base, (kh, kw, oh, ow)).reshape(1, points).astype(str(x.dtype))
        part = ops.reshape(ops.slice(moved, (k, 0, 0), (k + 1, n * groups, points)), (n * groups, points))
        places.append(ops.add(part, c.ref(own)))
    images = ops.reshape(x, (n * groups, channels // groups, height, width))
    cells = _bilinear(c, images, places[0], places[1], border=False)
    if mask is not None:
        cells = ops.mul(cells, ops.reshape(mask, (n * groups, 1, points)))
    # A convolution whose windows lie side by side.
    cells = ops.reshape(cells, (n, channels, kh, kw, oh, ow))
    cells = ops.reshape(ops.permute(cells, (0, 1, 4, 2, 5, 3)), (n, channels, oh * kh, ow * kw))
    return ops.conv2d(w, b, cells, stride=(kh, kw), padding=0, groups=c.get("group", 1))


@reads("RoiAlign")
def _roi_align(c: Call, x: Any, rois: Any, batch: Any) -> Any:
    ops, count, samples = c.ops, rois.shape[0], c.get("sampling_ratio", 0)
    height, width = c.get("output_height", 1), c.get("output_width", 1)
    how = c.get("coordinate_transformation_mode", "half_pixel" if c.opset >= 16 else "output_half_pixel")
    if samples <= 0:
        raise c.refuse("a number of samples that depends on the regions")
    shift = -0.5 if how == "half_pixel" else 0.0
    scaled = ops.shift(ops.scale(rois, c.get("spatial_scale", 1.0)), shift)
    x0, y0, x1, y1 = (ops.slice(scaled, (0, k), (count, k + 1)) for k in range(4))
    grid, near = [], []
    for low, high, out, size in ((y0, y1, height, x.shape[2]), (x0, x1, width, x.shape[3])):
        span = ops.sub(high, low)
        span = span if how == "half_pixel" else ops.max(span, c.number(1, span))
        at = (np.arange(out * samples) + 0.5) / (out * samples)
        place = ops.add(low, ops.mul(span, c.ref(at.astype(str(x.dtype))[None])))
        # A cell more on either side is as the border; beyond are zeros.
        inside = ops.logical_and(ops.greater_equal(place, c.number(-1, place)), ops.less_equal(place, c.number(size, place)))
        grid.append(place)
        near.append(inside)
    rows, columns = height * samples, width * samples
    shape = (count, rows, columns)
    v, u = ops.reshape(grid[0], (count, rows, 1)), ops.reshape(grid[1], (count, 1, columns))
    v, u = (ops.reshape(ops.broadcast_to(p, shape), (count, rows * columns)) for p in (v, u))
    inside = ops.logical_and(ops.reshape(near[0], (count, rows, 1)), ops.reshape(near[1], (count, 1, columns)))
    most = c.get("mode", "avg") == "max"
    cells = _bilinear(c, ops.take(x, batch, axis=0), v, u, border=True, most=most)
    cells = ops.mul(cells, ops.reshape(c.cast(inside, str(x.dtype)), (count, 1, rows * columns)))
    cells = ops.reshape(cells, (count, x.shape[1], height, samples, width, samples))
    return ops.reduce_max(cells, axis=(3, 5)) if most else ops.reduce_mean(cells, axis=(3, 5))


@reads("MaxUnpool", known=(2,))
def _max_unpool(c: Call, x: Any, indices: Any, shape: Any = None) -> Any:
    kernel = c.get("kernel_shape")
    d = len(kernel)
    steps, pads = c.get("strides", [1] * d), c.get("pads", [0] * 2 * d)
    own = [(n - 1) * s - pads[k] - pads[k + d] + kernel[k] for k, (n, s) in enumerate(zip(x.shape[2:], steps, strict=True))]
    flat = math.prod(x.shape)
    table = c.ref(np.zeros(x.shape[0] * x.shape[1] * math.prod(own), str(x.dtype)))
    y = c.ops.put_along_axis(table, c.ops.reshape(indices, (flat,)), c.ops.reshape(x, (flat,)), axis=0)
    y = c.ops.reshape(y, (*x.shape[:2], *own))
    if shape is None:
        return y
    return c.ops.pad(y, tuple((0, t - n) for t, n in zip(whole(shape), y.shape, strict=True)))  # type: ignore[arg-type]


@reads("Col2Im", known=(1, 2))
def _col2im(c: Call, x: Any, image: Any, block: Any) -> Any:
    sizes, cells = whole(image), whole(block)
    d = len(sizes)  # type: ignore[arg-type]
    pads = c.get("pads", [0] * 2 * d)
    wide = tuple(n + pads[k] + pads[k + d] for k, n in enumerate(sizes))  # type: ignore[arg-type]
    strides, gaps = (tuple(c.get(n, [1] * d)) for n in ("strides", "dilations"))
    y = c.ops.fold(x, wide, tuple(cells), strides, 0, gaps)  # type: ignore[arg-type]
    stops = tuple(pads[k] + n for k, n in enumerate(sizes))  # type: ignore[arg-type]
    return c.ops.slice(y, (0, 0, *pads[:d]), (*y.shape[:2], *stops))
