"""What the harness says of its samples: medians and ratios, a line, a page."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from rows import all_rows

SAMPLE_SECONDS = 0.02
MIN_PAIRS = 7

METHOD = f"""\
# Measured

Written by `make bench`; the rows are in `benchmarks/rows.py`.

**Method.** tlean (eager) and PyTorch (eager) run in two processes with the same arrays, float32, and the same number of threads. They take
turns on a row, each sample about {SAMPLE_SECONDS * 1e3:.0f} ms of calls, at least {MIN_PAIRS} pairs of samples, the order changing from
pair to pair. A row is timed only if both computed the same. The ratio is tlean's time over PyTorch's, the median over the pairs: **below 1
tlean is faster**; the interval holds 95 % of the medians of resampled pairs. `forward` records no tape; `forward+backward` records one and
computes the gradient of every input; `step` is a whole training step, from arrays to updated parameters.
"""


def summary(samples: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of each side, and of the paired ratios tlean / PyTorch with a 95 % bootstrap interval."""
    found: dict[str, Any] = {"pairs": len(samples["tlean"]), "tlean_s": statistics.median(samples["tlean"])}
    if "torch" in samples:
        ratios = np.array(samples["tlean"]) / np.array(samples["torch"])
        draws = np.random.default_rng(0).integers(0, len(ratios), (1000, len(ratios)))
        low, high = np.percentile(np.median(ratios[draws], axis=1), [2.5, 97.5])
        found |= {"torch_s": statistics.median(samples["torch"]), "ratio": float(np.median(ratios)), "ratio_low": low, "ratio_high": high}
    return found


def time_text(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def cells(result: dict[str, Any]) -> list[str]:
    """A result as the cells of a table's row."""
    texts = [result["row"], result["mode"], time_text(result["tlean_s"])]
    if "ratio" in result:
        texts += [time_text(result["torch_s"]), f"{result['ratio']:.2f}", f"{result['ratio_low']:.2f} – {result['ratio_high']:.2f}"]
    return texts


def processor() -> str:
    """The processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.machine()


def environment() -> dict[str, str]:
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


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    about, families = report["environment"], {row.name: row.family for row in all_rows()}
    versions = f"Python {about['python']}, NumPy {about['numpy']}, PyTorch {about['torch']}, tlean {about['tlean']}"
    lines = [METHOD, f"{about['date']} · {about['processor']}, load average {about['load']} at the start · {versions}"]
    for threads in report["threads"]:
        chosen = [r for r in report["results"] if r["threads"] == threads]
        lines += ["", f"## {threads} thread{'s' if threads > 1 else ''}"]
        compared = [r["ratio"] for r in chosen if "ratio" in r]
        if compared:
            faster = sum(r < 1 for r in compared)
            mean = statistics.geometric_mean(compared)
            lines += ["", f"{faster} of {len(compared)} rows faster than PyTorch; geometric mean of the ratios {mean:.2f}."]
        for family in dict.fromkeys(families.values()):
            group = [r for r in chosen if families[r["row"]] == family]
            if group:
                head = ["row", "mode", "tlean", *(["PyTorch", "ratio", "95 %"] if compared else [])]
                lines += ["", f"### {family[0].upper()}{family[1:]}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
                lines += [f"| {' | '.join(cells(r))} |" for r in group]
    if report["failed"]:
        lines += ["", "## Not measured", ""]
        lines += [f"- {f['row']}, {f['threads']} threads: {f['error']}" for f in report["failed"]]
    lines += ["", "## GPU", "", "Not measured yet.", ""]
    return "\n".join(lines)
