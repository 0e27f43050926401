"""What the harness says of its samples: medians, ratios and their intervals, a line, a page."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
from pathlib import Path
from typing import Any

from measuring.limits import Limits
from rows import all_rows

from report.beside import numpy_table, own_rate_table
from report.measures import limits_in, percent, ratio_text, share_of_limit, spread, table, thread_text, time_text
from report.targets import targets_table

SAMPLE_SECONDS = 0.01
MIN_PAIRS = 7
# A ratio whose interval reaches in here gets more samples.
PARITY = (0.92, 1.15)
# A row counts as slower when even the lower end of its interval lies above: at 1 thread, at more.
SLOWER = (1.03, 1.10)

METHOD = f"""\
# Measured

Written by `make bench`; the rows are in `benchmarks/rows.py` and beside it. How to repeat and read it: `CONTRIBUTING.md`.

**Method.** tlean (eager) and PyTorch (eager) run in separate processes with the same arrays, float32, and the same number of threads.
PyTorch runs twice: as it comes, and with glibc told to keep freed memory (`MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_`,
`MALLOC_TOP_PAD_`), which spares it the page faults of large results. All take turns on a row, each sample about {SAMPLE_SECONDS * 1e3:.0f}
ms of calls (three of them where they take up to 20 ms), at least {MIN_PAIRS} turns and more where the result is close, the order changing
from turn to turn; no process is bound to a core. OpenMP waits as it does by default: a side's threads look for work for some milliseconds
after its turn, and the next turn begins when they sleep. A row is timed only if all computed the same. The ratio is tlean's time over
PyTorch's, the median over the turns: **below 1 tlean is faster**; in brackets the interval that holds 95 % of the medians of resampled
turns. `forward` records no tape; `recorded` does; `forward+backward` also computes the gradient of every input; `step` is a whole training
step, from arrays to updated parameters.

**Of the limit**: the least time the machine allows, over tlean's time. The least time is that of the row's operations (tlean's cost model)
at the multiply-add units' peak, or that of its bytes (each input read and each result written once) at the bandwidth of the nearest level
of memory that holds them, whichever is longer. Both limits come from `benchmarks/probe.c`, run before and after the rows. It is a bound,
not a forecast: results between ops have to be stored in an eager library, exponentials cost more than one operation, and what an op costs
beside its arithmetic counts in small rows. An algorithm with fewer operations (Winograd) can pass 100 %.
"""


def summary(samples: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of each side, and of the paired ratios to PyTorch (`ratio`, `kept_ratio`) and NumPy with 95 % bootstrap intervals."""
    found: dict[str, Any] = {"pairs": len(samples["tlean"]), "tlean_s": statistics.median(samples["tlean"])}
    for side, name in (("torch", "ratio"), ("kept", "kept_ratio"), ("numpy", "numpy_ratio")):
        if side in samples:
            ratio, low, high = spread(samples["tlean"], samples[side])
            found |= {f"{side}_s": statistics.median(samples[side]), name: ratio, f"{name}_low": low, f"{name}_high": high}
    return found


def line(result: dict[str, Any]) -> str:
    """A result as a line."""
    kept = f"  memory kept {ratio_text(result, 'kept_ratio')}" if "kept_ratio" in result else ""
    times = f"{time_text(result['tlean_s']):>9}" + (f" {time_text(result['torch_s']):>9}" if "torch_s" in result else "")
    return f"{result['row']:34} {result['mode']:17}{result['threads']:2} {times}  {ratio_text(result, 'ratio')}{kept}"


# Summaries ----------------------------------------------------------------------------------------------------------------------------


def threshold(threads: int) -> float:
    """Above this ratio a row counts as slower."""
    return SLOWER[0] if threads == 1 else SLOWER[1]


def slower(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The results slower than PyTorch, of either kind, by the lower end of the interval; the slowest first."""
    worst = {id(r): max(r.get("ratio_low", 0.0), r.get("kept_ratio_low", 0.0)) for r in report["results"]}
    found = [r for r in report["results"] if worst[id(r)] > threshold(r["threads"])]
    return sorted(found, key=lambda r: -worst[id(r)])


def mean(results: list[dict[str, Any]], name: str) -> str:
    """The geometric mean of a ratio over the results that have it."""
    ratios = [r[name] for r in results if name in r]
    return f"{statistics.geometric_mean(ratios):.2f}" if ratios else "–"


def headline(report: dict[str, Any]) -> list[str]:
    """The summary in a few lines."""
    lines = []
    for n in report["threads"]:
        group = [r for r in report["results"] if r["threads"] == n and "ratio" in r]
        if group:
            faster, weak = sum(r["ratio"] < 1 for r in group), sum(r["threads"] == n for r in slower(report))
            text = (
                f"{thread_text(n)}: {faster} of {len(group)} rows faster than PyTorch; geometric mean of the ratios {mean(group, 'ratio')}"
            )
            kept = f", {mean(group, 'kept_ratio')} with its memory kept" if any("kept_ratio" in r for r in group) else ""
            lines.append(f"{text}{kept}; {weak} slower than {threshold(n):.2f} beyond doubt.")
    return lines


def weak_rows(report: dict[str, Any]) -> list[str]:
    """The rows slower than PyTorch, as a table."""
    if not any("ratio" in r for r in report["results"]):
        return []
    found = [[r["row"], r["mode"], str(r["threads"]), ratio_text(r, "ratio"), ratio_text(r, "kept_ratio")] for r in slower(report)]
    words = f"Slower by more than {SLOWER[0] - 1:.0%} at 1 thread, {SLOWER[1] - 1:.0%} at more, at the lower end of either interval:"
    if not found:
        return ["", f"{words} none."]
    return ["", words, "", *table(["row", "mode", "threads", "ratio", "memory kept"], found)]


def family_means(report: dict[str, Any], families: dict[str, str]) -> list[str]:
    """Every family's means, as a table."""
    limits, head, rows = limits_in(report), ["family", "rows"], []
    for n in report["threads"]:
        head += [f"ratio, {thread_text(n)}", "memory kept", "of the limit, median"]
    for family in dict.fromkeys(families.values()):
        group = [r for r in report["results"] if families[r["row"]] == family]
        if group:
            cells = [family, str(sum(r["threads"] == report["threads"][0] for r in group))]
            for n in report["threads"]:
                chosen = [r for r in group if r["threads"] == n]
                shares = [s for r in chosen if (s := share_of_limit(r, limits)) is not None]
                cells += [mean(chosen, "ratio"), mean(chosen, "kept_ratio"), percent(statistics.median(shares) if shares else None)]
            rows.append(cells)
    return ["", *table(head, rows)]


def limits_table(report: dict[str, Any]) -> list[str]:
    """What the probe found."""
    rows = []
    for n, found in limits_in(report).items():
        levels = [f"{level.read / 1e9:.0f} / {level.copy / 1e9:.0f} / {level.fill / 1e9:.0f}" for level in found.levels]
        rows.append([thread_text(n), f"{found.flops / 1e9:.0f} GFLOP/s", *levels])
    names = [f"{level.name}, GB/s" for level in next(iter(limits_in(report).values())).levels] if rows else []
    words = "The machine: multiply-adds, and the bandwidth of each level of memory (read / copied, both sides counted / filled)."
    return ["", words, "", *table(["", "float32", *names], rows)] if rows else []


def cells(results: list[dict[str, Any]], limits: dict[int, Limits]) -> list[str]:
    """A row in a mode, at every number of threads, as the cells of a table's row."""
    texts = [results[0]["row"], results[0]["mode"]]
    for r in results:
        texts.append(time_text(r["tlean_s"]))
        if "torch_s" in r:
            texts += [time_text(r["torch_s"]), ratio_text(r, "ratio"), ratio_text(r, "kept_ratio")]
        texts.append(percent(share_of_limit(r, limits)))
    return texts


# The page -----------------------------------------------------------------------------------------------------------------------------


def processor() -> str:
    """The processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.machine()


def environment() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    from importlib.metadata import PackageNotFoundError, version

    import tlean

    def of(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        # More than the threads that measure: something else was running too.
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "python": platform.python_version(),
        "tlean": tlean.__version__,
        "torch": of("torch"),
        "numpy": of("numpy"),
    }


def about(report: dict[str, Any]) -> str:
    """When, on what and how undisturbed it was measured."""
    e = report["environment"]
    versions = f"Python {e['python']}, NumPy {e['numpy']}, PyTorch {e['torch']}, tlean {e['tlean']}"
    disturbed = e.get("disturbed", {})
    words = {"others": "other programs took {:.2f} cores", "idle": "the sides that waited {:.2f}"}
    quiet = "; ".join(words[k].format(disturbed[k]) for k in words if k in disturbed) or f"load average {e['load']} at the start"
    return f"{e['date']} · {e['processor']} · {quiet} · {versions}"


def markdown(report: dict[str, Any], drawn: bool = False) -> str:
    """The report as a page; `drawn` says that roofline.svg lies beside it."""
    families, limits = {row.name: row.family for row in all_rows()}, limits_in(report)
    lines = [METHOD, about(report), "", "## In short", "", *(f"- {text}" for text in headline(report))]
    lines += [*weak_rows(report), *family_means(report, families), *limits_table(report)]
    if drawn:
        lines += ["", "Filled: tlean; hollow: PyTorch; lines: the machine's limits.", "", "![Roofline](roofline.svg)"]
    lines += targets_table(report, limits)
    by_row: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for r in report["results"]:
        by_row.setdefault((r["row"], r["mode"]), []).append(r)
    for family in dict.fromkeys(families.values()):
        group = [cells(found, limits) for (row, _), found in by_row.items() if families[row] == family]
        if group:
            head = ["row", "mode"]
            for n in report["threads"]:
                compared = ["PyTorch", "ratio", "memory kept"] if any("ratio" in r for r in report["results"]) else []
                head += [f"tlean, {thread_text(n)}", *compared, "of the limit"]
            lines += ["", f"## {family[0].upper()}{family[1:]}", "", *table(head, group)]
    lines += [*numpy_table(report), *own_rate_table(report)]
    if report["failed"]:
        lines += ["", "## Not measured", "", *(f"- {f['row']}: {f['error']}" for f in report["failed"])]
    return "\n".join(lines)
