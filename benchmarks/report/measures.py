"""What every table of the results says of a measured row: its figures as text, and what it asked of the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from measuring.limits import Limits, limits_of
from rows.base import Work


def time_text(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def ratio_text(result: dict[str, Any], name: str) -> str:
    """A ratio and its interval."""
    return f"{result[name]:.2f} ({result[f'{name}_low']:.2f}–{result[f'{name}_high']:.2f})" if name in result else "–"


def thread_text(threads: int) -> str:
    """1 thread, 2 threads."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(cells)} |" for cells in rows)]


def limits_in(report: dict[str, Any]) -> dict[int, Limits]:
    """The machine's limits by number of threads."""
    return {int(n): limits_of(found) for n, found in report.get("limits", {}).items()}


def asked_of(result: dict[str, Any]) -> Work | None:
    """What the row asked of the machine; None where it is not known or nothing."""
    work = Work(result["flops"], result["reads"], result["writes"]) if "flops" in result else None
    return work if work and work.flops + work.reads + work.writes else None


def share_of_limit(result: dict[str, Any], limits: dict[int, Limits]) -> float | None:
    """The least time over the time taken."""
    work = asked_of(result)
    return limits[result["threads"]].seconds(work) / result["tlean_s"] if work and result["threads"] in limits else None


def percent(share: float | None) -> str:
    """A share as a percentage: two digits below 1 %."""
    return "–" if share is None else f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"


def spread(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The median of the paired ratios, and the interval that holds 95 % of the medians of resampled pairs."""
    ratios = np.array(ours) / np.array(theirs)
    draws = np.random.default_rng(0).integers(0, len(ratios), (1000, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)
