"""Augmentations of images: `f(rng, images) -> images` on batches `(N, C, H, W)`, and `Augment`, which applies them in a loader.

transform = augment.Augment(augment.shift(2), augment.flip(0.5), augment.normalise(0.1307, 0.3081))
loader = tl.data.DataLoader(data, 64, shuffle=True, transform=transform, prefetch=2)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..rng import Rng

Step = Callable[[Rng, np.ndarray], np.ndarray]


def _integers(rng: Rng, count: int, high: int) -> np.ndarray:
    # u < 1, so the floor stays below `high`.
    return np.floor(rng.uniform((count,), dtype="float64") * high).astype(np.int64)


def _need_images(name: str, images: np.ndarray) -> None:
    if images.ndim != 4:
        raise ShapeError(f"{name}: images are (N, C, H, W), got {images.shape}")


def _windows(images: np.ndarray, top: np.ndarray, left: np.ndarray, height: int, width: int) -> np.ndarray:
    """From every image the window of this size at a corner of its own."""
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    n = np.arange(len(images))[:, None, None]
    # Indices around the channel axis bring it last.
    return np.ascontiguousarray(np.moveaxis(images[n, :, rows[:, :, None], columns[:, None, :]], -1, 1))


def crop(size: int | tuple[int, int], padding: int = 0, value: float = 0.0) -> Step:
    """A window of this size at a random place of each image, after padding all sides.

    Raises: OptionError for a size below 1 or a negative padding; ShapeError when called, if the window is larger than the padded image.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1 or padding < 0:
        raise OptionError(f"crop: a size of at least 1 and a padding of at least 0, got {size!r}, {padding!r}")

    def step(rng: Rng, images: np.ndarray) -> np.ndarray:
        _need_images("crop", images)
        images = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=value)
        n, _, h, w = images.shape
        if height > h or width > w:
            raise ShapeError(f"crop: the window {height}×{width} is larger than the padded image {h}×{w}")
        return _windows(images, _integers(rng, n, h - height + 1), _integers(rng, n, w - width + 1), height, width)

    return step


def shift(pixels: int, value: float = 0.0) -> Step:
    """Each image moved by up to so many pixels along both axes; what comes in from outside has this value."""
    if pixels < 0:
        raise OptionError(f"shift: at least 0 pixels, got {pixels!r}")

    def step(rng: Rng, images: np.ndarray) -> np.ndarray:
        _need_images("shift", images)
        return crop(images.shape[2:], pixels, value)(rng, images)

    return step


def flip(p: float = 0.5, axis: int = -1) -> Step:
    """Each image mirrored with probability p: along its width (axis −1) or its height (−2)."""
    if not 0 <= p <= 1 or axis not in (-1, -2):
        raise OptionError(f"flip: p in [0, 1] and axis -1 or -2, got {p!r}, {axis!r}")

    def step(rng: Rng, images: np.ndarray) -> np.ndarray:
        _need_images("flip", images)
        turned = rng.uniform((len(images),)) < p
        return np.where(turned[:, None, None, None], np.flip(images, axis), images)

    return step


def normalise(mean: Any, std: Any) -> Step:
    """(x − mean) / std, with a number, or one for each channel. Raises: OptionError if a std is not above 0."""
    center, spread = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    if not (spread > 0).all():
        raise OptionError(f"normalise: std is above 0, got {std!r}")

    def step(rng: Rng, images: np.ndarray) -> np.ndarray:
        _need_images("normalise", images)
        return ((images - center.reshape(-1, 1, 1)) / spread.reshape(-1, 1, 1)).astype(np.result_type(images.dtype, np.float32))

    return step


class Augment:
    """A loader's transform: the steps one after another on the first array, the images; labels go through."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps

    def __call__(self, rng: Rng, images: np.ndarray, *rest: np.ndarray) -> tuple[np.ndarray, ...]:
        """The batch with its images changed."""
        for step in self.steps:
            # A stream for each step: adding one changes nothing of the others before it.
            images = step(rng.split(), images)
        return images, *rest
