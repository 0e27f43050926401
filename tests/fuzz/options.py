"""Options of a call, drawn for other shapes than the sample's. The record's shape rule says whether they fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def draw_options(options: dict[str, Any], first: tuple[int, ...], shapes: Sequence[Any], rng: np.random.Generator) -> dict[str, Any]:
    """The sample's options with those redrawn whose names say what they mean; `first` is the shape of the first input."""
    return {name: _DRAWN[name](value, first, rng) if name in _DRAWN else value for name, value in options.items()}


def _axis(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    rank = len(shape)
    if not rank:
        return value
    if isinstance(value, tuple):
        return tuple(int(a) for a in rng.permutation(rank)[: rng.integers(rank + 1)])
    return int(rng.integers(-rank, rank))


def _axes(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    return tuple(int(a) for a in rng.permutation(len(shape)))


def _shape(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """A spread of the shape or another form of it, at random: the record takes the one that it can."""
    size = math.prod(shape)
    if rng.random() < 0.5:
        lead = tuple(int(rng.integers(1, 4)) for _ in range(rng.integers(0, 3)))
        return (*lead, *(int(rng.integers(1, 6)) if d == 1 else d for d in shape))
    if not size:
        return value
    parts, rest = [], size
    for _ in range(rng.integers(0, 4)):
        divisors = [d for d in range(1, min(rest, 64) + 1) if rest % d == 0]
        parts.append(divisors[rng.integers(len(divisors))])
        rest //= parts[-1]
    if parts and rest == 1 and rng.random() < 0.3:
        return tuple(parts)
    return (*parts, rest)


def _flag(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    return bool(rng.integers(2))


def _start(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    return int(rng.integers(0, max(1, shape[0] if shape else 1)))


def _length(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    return int(rng.integers(0, (shape[0] if shape else 1) + 1))


def _starts(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    return tuple(int(rng.integers(0, d // 2 + 1)) for d in shape)


def _stops(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    return tuple(int(rng.integers(d // 2, d + 1)) for d in shape)


def _steps(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    return None if value is None else tuple(int(rng.integers(1, 4)) for _ in shape)


def _widths(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    return tuple((int(rng.integers(0, 3)), int(rng.integers(0, 3))) for _ in shape)


_DRAWN = {
    "axis": _axis,
    "axes": _axes,
    "shape": _shape,
    "keepdims": _flag,
    "start": _start,
    "length": _length,
    "starts": _starts,
    "stops": _stops,
    "steps": _steps,
    "widths": _widths,
}
