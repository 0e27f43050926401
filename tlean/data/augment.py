"""Augmentations of images: `f(rng, images) -> images` on batches `(N, C, H, W)`, and `Augment`, which applies them in a loader.

transform = augment.Augment(augment.shift(2), augment.flip(0.5), augment.normalise(0.1307, 0.3081))
loader = tl.data.DataLoader(data, 64, shuffle=True, transform=transform, prefetch=2)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlean.arguments import whole
from tlean.errors import OptionError, ShapeError
from tlean.optim.updates import number
from tlean.rng import Rng

from .arrays import as_array

Step = Callable[[Rng, np.ndarray], np.ndarray]


def _integers(rng: Rng, count: int, high: int) -> np.ndarray:
    # u < 1, so the floor stays below `high`.
    return np.floor(rng.uniform((count,), dtype="float64") * high).astype(np.int64)


def _need_images(name: str, images: np.ndarray) -> None:
    shape = getattr(images, "shape", None)
    if not isinstance(images, np.ndarray) or images.ndim != 4:
        raise ShapeError(f"{name}: images must be (N, C, H, W), got {shape if shape is not None else type(images).__name__}")


def _windows(images: np.ndarray, top: np.ndarray, left: np.ndarray, height: int, width: int) -> np.ndarray:
    """From every image the window of this size at its own corner."""
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    n = np.arange(len(images))[:, None, None]
    # Indices around the channel axis bring it last.
    return np.ascontiguousarray(np.moveaxis(images[n, :, rows[:, :, None], columns[:, None, :]], -1, 1))


def _count(name: str, what: str, value: Any, low: int) -> int:
    return whole(f"{name}: {what}", value, low)


@dataclass(frozen=True)
class Crop:
    """What `crop` makes."""

    height: int
    width: int
    padding: int
    value: float

    def __call__(self, rng: Rng, images: np.ndarray) -> np.ndarray:
        """The windows."""
        _need_images("crop", images)
        p = self.padding
        images = np.pad(images, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=self.value)
        n, _, h, w = images.shape
        if self.height > h or self.width > w:
            raise ShapeError(f"crop: the window {self.height} x {self.width} is larger than the padded image {h} x {w}")
        top, left = _integers(rng, n, h - self.height + 1), _integers(rng, n, w - self.width + 1)
        return _windows(images, top, left, self.height, self.width)


def crop(size: int | tuple[int, int], padding: int = 0, value: float = 0.0) -> Step:
    """A window of this size at a random place of each image, after padding all sides.

    Raises: OptionError for a size below 1 or a negative padding; ShapeError when called, if the window is larger than the padded image.
    """
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2:
        raise OptionError(f"crop: size must be an int, or height and width, got {size!r}")
    height, width = (_count("crop", "a size", n, 1) for n in sides)
    return Crop(height, width, _count("crop", "padding", padding, 0), number("crop: value", value, -math.inf))


@dataclass(frozen=True)
class Shift:
    """What `shift` makes."""

    pixels: int
    value: float

    def __call__(self, rng: Rng, images: np.ndarray) -> np.ndarray:
        """The images, moved."""
        _need_images("shift", images)
        return Crop(images.shape[2], images.shape[3], self.pixels, self.value)(rng, images)


def shift(pixels: int, value: float = 0.0) -> Step:
    """Each image moved by up to so many pixels along both axes; what comes in from outside has this value.

    Raises: OptionError for a negative number of pixels.
    """
    return Shift(_count("shift", "pixels", pixels, 0), number("shift: value", value, -math.inf))


@dataclass(frozen=True)
class Flip:
    """What `flip` makes."""

    p: float
    axis: int

    def __call__(self, rng: Rng, images: np.ndarray) -> np.ndarray:
        """The images, some of them mirrored."""
        _need_images("flip", images)
        turned = rng.uniform((len(images),)) < self.p
        return np.where(turned[:, None, None, None], np.flip(images, self.axis), images)


def flip(p: float = 0.5, axis: int = -1) -> Step:
    """Each image mirrored with probability p: along its width (axis −1) or its height (−2).

    Raises: OptionError for another axis, or p outside [0, 1].
    """
    chance = number("flip: p", p)
    if chance > 1 or not isinstance(axis, int) or axis not in (-1, -2):
        raise OptionError(f"flip: p in [0, 1] and axis -1 or -2, got {p!r}, {axis!r}")
    return Flip(chance, axis)


@dataclass(frozen=True, eq=False)
class Normalise:
    """What `normalise` makes."""

    mean: np.ndarray
    std: np.ndarray

    def __call__(self, rng: Rng, images: np.ndarray) -> np.ndarray:
        """The images, normalised."""
        _need_images("normalise", images)
        for given in (self.mean, self.std):
            if given.size not in (1, images.shape[1]):
                raise ShapeError(f"normalise: a number, or one for each of the {images.shape[1]} channels, got {given.size}")
        made = (images - self.mean.reshape(-1, 1, 1)) / self.std.reshape(-1, 1, 1)
        return made.astype(np.result_type(images.dtype, np.float32))


def normalise(mean: Any, std: Any) -> Step:
    """(x − mean) / std, with a number, or one for each channel. Raises: OptionError if a std is not above 0."""
    center, spread = (as_array(f"normalise: {n}", v, numbers=True).astype(np.float32) for n, v in (("mean", mean), ("std", std)))
    if not (spread > 0).all():
        raise OptionError(f"normalise: std must be above 0, got {std!r}")
    return Normalise(center, spread)


class Augment:
    """A loader's transform: the steps one after another on the first array, the images; labels go through."""

    def __init__(self, *steps: Step) -> None:
        for step in steps:
            if not callable(step):
                raise OptionError(f"Augment: a step must be a function (rng, images) -> images, got {step!r}")
        self.steps = steps

    def __call__(self, rng: Rng, images: np.ndarray, *rest: np.ndarray) -> tuple[np.ndarray, ...]:
        """The batch with its images changed."""
        if not isinstance(rng, Rng):
            raise OptionError(f"Augment: the first argument must be a tl.Rng, got {rng!r}")
        for step in self.steps:
            # A stream for each step: adding one changes nothing of the others before it.
            images = step(rng.split(), images)
        return images, *rest
