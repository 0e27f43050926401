"""The roofline picture: operations per second over operations per byte, every row a point, the machine's limits as lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rows import all_rows

from report.measures import asked_of, limits_in, thread_text

# Rows below this intensity only move data: they have no place on a logarithmic axis.
LEAST = 1e-3
MARGIN = 1.6


def points(report: dict[str, Any], threads: int, side: str) -> dict[str, list[tuple[float, float]]]:
    """(operations per byte, operations per second) of a side's rows, by family."""
    families = {row.name: row.family for row in all_rows()}
    found: dict[str, list[tuple[float, float]]] = {}
    for r in report["results"]:
        work = asked_of(r)
        if r["threads"] == threads and work and f"{side}_s" in r and work.intensity > LEAST:
            found.setdefault(families[r["row"]], []).append((work.intensity, work.flops / r[f"{side}_s"]))
    return found


def picture(report: dict[str, Any], path: Path) -> bool:
    """Draw it as SVG; False, with a word on standard error, where Matplotlib is not installed, and where there are no limits to draw."""
    limits = limits_in(report)
    if not limits:
        return False
    try:
        import matplotlib
    except ImportError:
        print("Matplotlib is not installed: no roofline picture. To draw it: pip install matplotlib", file=sys.stderr)
        return False
    matplotlib.use("Agg")
    # The same report gives the same file, and text stays text.
    matplotlib.rcParams |= {"svg.hashsalt": "roofline", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot as plt

    paired = plt.get_cmap("tab20").colors
    # The strong colours first, then their pale partners.
    colours = dict(zip(dict.fromkeys(row.family for row in all_rows()), [*paired[::2], *paired[1::2]], strict=False))
    figure, axes = plt.subplots(1, len(limits), figsize=(6.5 * len(limits), 5.2), sharey=True, squeeze=False)
    for axis, (threads, limit) in zip(axes[0], limits.items(), strict=True):
        every = [p for side in ("tlean", "torch") for group in points(report, threads, side).values() for p in group]
        if not every:
            continue
        left, right = min(x for x, _ in every) / MARGIN, max(max(x for x, _ in every), 10.0) * MARGIN
        for level in limit.levels:
            knee = limit.flops / level.copy
            axis.plot([left, knee, right], [left * level.copy, limit.flops, limit.flops], color="0.55", linewidth=0.8, zorder=1)
            axis.annotate(level.name, (left * 1.2, left * 1.2 * level.copy), color="0.35", fontsize=8, va="bottom")
        axis.annotate("multiply-adds", (right, limit.flops), color="0.35", fontsize=8, va="bottom", ha="right")
        for side, filled in (("torch", False), ("tlean", True)):
            for family, group in points(report, threads, side).items():
                axis.scatter(
                    *zip(*group, strict=True),
                    s=14,
                    facecolors=colours[family] if filled else "none",
                    edgecolors=[colours[family]],
                    linewidths=0.7,
                    zorder=3 if filled else 2,
                    label=family if filled else None,
                )
        axis.set(xscale="log", yscale="log", xlim=(left, right), xlabel="operations per byte", title=thread_text(threads))
    axes[0][0].set_ylabel("operations per second")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)
    return True
