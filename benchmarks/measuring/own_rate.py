"""What a kernel does when nothing comes from beyond the first-level cache: its own rate, and what a call costs beside it.

Both come from two small cuts of a row, one twice as long as the other: the difference of their times is work, the rest is the call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from rows.base import FORWARD, Row, StepRow

FAMILIES = ("elementwise", "softmax and losses", "normalisation and attention")
# All that the longer cut touches: a part of a first-level cache of 32 KiB, in which something else always is as well.
CACHE_BYTES = 20 << 10
# Shorter rows are the call and little else.
LEAST_BYTES = 64 << 10
TURNS, SECONDS = 21, 0.002

Function = Callable[[], Any]
Build = Callable[[Row], dict[str, Function]]


def cut(row: Row, length: int) -> Row:
    """The row with its first axis cut to a length: that of the first array, and of the others that have it too."""

    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        whole = row.arrays(rng)
        return [a[:length].copy() if a.ndim and a.shape[0] == whole[0].shape[0] else a for a in whole]

    return replace(row, arrays=arrays, modes=(FORWARD,))


def lengths(row: Row | StepRow) -> tuple[int, int] | None:
    """The length of the row's first axis and that of its shorter cut; None where a kernel's own rate is not asked for or cannot be had."""
    if isinstance(row, StepRow) or row.family not in FAMILIES:
        return None
    arrays = row.arrays(np.random.default_rng(0))
    if not arrays or arrays[0].ndim == 0 or row.name.startswith("attention") or row.name.startswith("batchnorm"):
        # These work on more than one element of the first axis at a time.
        return None
    n = arrays[0].shape[0]
    each = sum(a.nbytes // n for a in arrays if a.ndim and a.shape[0] == n) + arrays[0].nbytes // n
    shorter = CACHE_BYTES // (2 * each)
    # Whole vectors, so that neither cut has a remainder.
    shorter = shorter // 64 * 64 or shorter
    return (n, shorter) if shorter and each * n >= LEAST_BYTES else None


def own_rate(
    build: Build, timed: Callable[[Function, int], float], calls_for: Callable[[Function, float], int], row: Row
) -> dict[str, float]:
    """Seconds of the whole row at its kernel's own rate (`own_s`), and of a call beside its work (`call_s`); empty where unknown."""
    found = lengths(row)
    if found is None:
        return {}
    n, short = found
    once, twice = (build(cut(row, short * k))[FORWARD] for k in (1, 2))
    calls = calls_for(twice, SECONDS)
    times = [(timed(once, calls), timed(twice, calls)) for _ in range(TURNS)]
    work = median(b - a for a, b in times)
    return {"own_s": work * n / short, "call_s": max(0.0, median(2 * a - b for a, b in times))}
