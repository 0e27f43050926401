"""Tables of the results beside those against PyTorch: against NumPy, and of kernels against their own rate in the first-level cache."""

from __future__ import annotations

from typing import Any

from measuring.limits import Limits
from rows.base import Work

from report.measures import asked_of, limits_in, percent, ratio_text, table, time_text

# What share of its rate a kernel should keep on long arrays.
OWN_RATE = 0.85


def numpy_table(report: dict[str, Any]) -> list[str]:
    """The rows that NumPy was measured on as well."""
    found = [r for r in report["results"] if "numpy_ratio" in r]
    rows = [[r["row"], time_text(r["tlean_s"]), time_text(r["numpy_s"]), ratio_text(r, "numpy_ratio")] for r in found]
    words = "The same products by NumPy, whose BLAS chooses its kernels itself; `forward`, 1 thread."
    return ["", "## Beside NumPy", "", words, "", *table(["row", "tlean", "NumPy", "ratio"], rows)] if rows else []


def share_of_own_rate(result: dict[str, Any], limits: dict[int, Limits]) -> float | None:
    """The least time of a kernel by its own rate or by its bytes, over the time taken less that of a call."""
    work = asked_of(result)
    if work is None or "own_s" not in result or result["threads"] not in limits:
        return None
    moved = limits[result["threads"]].seconds(Work(0.0, work.reads, work.writes))
    return max(result["own_s"], moved) / max(result["tlean_s"] - result["call_s"], 1e-12)


def own_rate_table(report: dict[str, Any]) -> list[str]:
    """How near kernels come to what they do in the first-level cache, or to the bandwidth of where their data is."""
    limits, rows, shares = limits_in(report), [], []
    for r in report["results"]:
        share = share_of_own_rate(r, limits)
        if share is not None:
            work, shares = asked_of(r), [*shares, share]
            moved = limits[r["threads"]].seconds(Work(0.0, work.reads, work.writes)) if work else 0.0
            rows.append(
                [r["row"], time_text(r["tlean_s"]), time_text(r["call_s"]), time_text(r["own_s"]), time_text(moved), percent(share)]
            )
    if not rows:
        return []
    near = sum(share >= OWN_RATE for share in shares)
    words = f"""\
How much of a kernel's own rate reaches long arrays (`forward`, 1 thread). Own rate: the row's work at the rate of a cut of it that stays in
the first-level cache. Moved: its bytes at the bandwidth of the level that holds them. The share is the longer of the two over the time
taken less that of a call. {near} of {len(rows)} rows are at {OWN_RATE:.0%} or more."""
    return ["", "## Beside their own rate", "", words, "", *table(["row", "time", "call", "own rate", "moved", "share"], rows)]
