"""The page of the compiled path: a table of networks with every library, and one of each family of rows with bounds."""

from __future__ import annotations

import statistics
from typing import Any

from rows.compiled import all_rows
from rows.libraries import Bound, CompiledRow

from report.measures import table, time_text

SIDES = {"tlean": "tlean", "torch": "PyTorch", "inductor": "torch.compile", "jax": "JAX", "numpy": "NumPy, SciPy"}
#: The columns; the base of a row is a program of tlean.
COLUMNS = SIDES | {"base": "tlean's own"}

TITLE = "# The compiled path"
METHOD = f"""\
{TITLE}

Written by `benchmarks/compiled.py`; the rows are in `benchmarks/rows/compiled.py` and `benchmarks/rows/bounded/`. Each library runs in a
separate process on the same arrays, JAX in a later Python, 64 bits switched on where a row has float64; all are bound to the same cores
and told to keep freed memory. They take turns, 20 ms of calls a turn, at least 7 turns (3 where a turn takes over a second). A row is timed
only for those that computed the same. A ratio is tlean's time over the other's, the median over the turns, in brackets the interval that
holds 95 % of the medians of resampled turns: **below 1 tlean is faster**. `forward` is the program alone, `grad` its value and gradient,
`step` a whole training step (SGD), `hvp` a Hessian-vector product in all parameters; `first`: the first call of the gradient, traced and
compiled, in a process that has compiled something else before, the median of 3 processes. A bound is met if the median keeps it; beside
tlean's own program, if the upper end of the interval does.
"""


def bound_text(bound: Bound) -> str:
    """What the row is meant to reach."""
    if bound.of == "memory":
        return f"{bound.most / 2**20:.0f} MiB above inputs and results"
    if bound.of == "alone":
        return time_text(bound.most)
    return f"{bound.most:.2g} of {'the best' if bound.of == 'best' else COLUMNS[bound.of]}"


def value(result: dict[str, Any], bound: Bound) -> float | None:
    """What the bound is about, in the result; None where it was not measured."""
    if bound.of == "memory":
        return result.get("bytes")
    if bound.of == "alone":
        return result["seconds"].get("tlean")
    if bound.of == "best":
        # The best of the others is the one that tlean's ratio to is largest.
        return max((r for name, r in result["ratio"].items() if name in ("torch", "jax")), default=None)
    if bound.of == "base" and "base" in result["interval"]:
        return result["interval"]["base"][1]
    return result["ratio"].get(bound.of)


def verdict(result: dict[str, Any], row: CompiledRow) -> str:
    """Whether each bound is met."""
    words = []
    for bound in row.bounds:
        found = value(result, bound)
        text = "not measured" if found is None else "met" if found <= bound.most else "**not met**"
        if bound.of == "memory" and found is not None:
            text += f" ({found / 2**20:.2f} MiB)"
        words.append(text)
    return ", ".join(words) or "–"


def beside(result: dict[str, Any], name: str) -> str:
    """A side's time, and the ratio to it with its interval."""
    if name not in result["seconds"]:
        return "–"
    text = time_text(result["seconds"][name])
    if name == "tlean" or name not in result["ratio"]:
        return text
    low, high = result["interval"][name]
    return f"{text} · {result['ratio'][name]:.2f} ({low:.2f}–{high:.2f})"


def operands(row: CompiledRow) -> str:
    """The shapes of a row's arrays and their dtype, equal ones counted."""
    texts = ["×".join(map(str, a.shape)) or "1" for a in row.drawn()]
    kinds = dict.fromkeys(str(a.dtype) for a in row.drawn())
    counted = [f"{texts.count(t)} of {t}" if texts.count(t) > 1 else t for t in dict.fromkeys(texts)]
    return f"{', '.join(counted[:4])}{' …' if len(counted) > 4 else ''} {'/'.join(kinds)}".strip() or "–"


def line(result: dict[str, Any], row: CompiledRow) -> str:
    """A result as a line."""
    sides = "  ".join(f"{COLUMNS[n]} {beside(result, n)}" for n in COLUMNS if n in result["seconds"])
    failed = "".join(f"\n    {COLUMNS[name]}: {words}" for name, words in result["failed"].items())
    bounds = f"  [{', '.join(map(bound_text, row.bounds))}: {verdict(result, row)}]" if row.bounds else ""
    return f"{result['row']:42} {sides}{bounds}{failed}"


def family(results: list[dict[str, Any]], rows: dict[str, CompiledRow]) -> list[str]:
    """The results of a family as Markdown."""
    names = [n for n in COLUMNS if any(n in r["seconds"] for r in results)]
    bounded = any(rows[r["row"]].bounds for r in results)
    head = ["row", "arrays", *(COLUMNS[n] if n == "tlean" else f"{COLUMNS[n]} · ratio" for n in names), *(["bound", ""] if bounded else [])]
    lines = []
    for r in results:
        row = rows[r["row"]]
        ends = [", ".join(map(bound_text, row.bounds)) or "–", verdict(r, row)] if bounded else []
        lines.append([r["row"], operands(row), *(beside(r, n) for n in names), *ends])
    return table(head, lines)


def page(report: dict[str, Any]) -> str:
    """The part of the page."""
    rows = {row.name: row for row in all_rows()}
    order = {name: k for k, name in enumerate(rows)}
    results = sorted((r for r in report["results"] if r["row"] in rows), key=lambda r: order[r["row"]])
    e = report["environment"]
    versions = ", ".join(f"{name} {e[name]}" for name in ("python", "numpy", "torch", "jax", "tlean") if name in e)
    dates = sorted({r["date"] for r in results})
    texts = [METHOD, f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))} · {e['processor']} · {versions}", *missed(results, rows)]
    for threads in sorted({r["threads"] for r in results}):
        for kind in dict.fromkeys(row.family for row in rows.values()):
            chosen = [r for r in results if r["threads"] == threads and rows[r["row"]].family == kind]
            if chosen:
                texts += ["", f"## {kind[0].upper()}{kind[1:]}, {threads} thread{'s' * (threads > 1)}", "", *family(chosen, rows)]
    return "\n".join([*texts, "", report["alone"]])


def missed(results: list[dict[str, Any]], rows: dict[str, CompiledRow]) -> list[str]:
    """How many bounds are met, and the others by name."""
    pairs = [(r, bound) for r in results for bound in rows[r["row"]].bounds if value(r, bound) is not None]
    over = [(r["row"], bound, found) for r, bound in pairs if (found := value(r, bound)) is not None and found > bound.most]
    texts = [f"- `{name}`: {found:.3g} against {bound.most:g} ({bound_text(bound)})" for name, bound, found in over]
    return ["", f"{len(pairs) - len(over)} of {len(pairs)} bounds are met{'; not these:' if over else '.'}", "", *texts] if pairs else []


def alone(side: Any) -> list[str]:
    """What is measured of tlean alone: compile times, and the memory of a step."""
    small, large = (statistics.median(side.ask(extra="compile", arguments=[n, False])) for n in (1000, 10000))
    once, more = (statistics.median(side.ask(extra="compile", arguments=[n, True])) for n in (1000, 4000))
    eager, compiled = (side.ask(extra="memory", arguments=["cnn_step_N128", b]) for b in ("eager", "compiled"))
    return [
        f"Compiling: {small * 1e3:.0f} ms for 1,000 nodes, {large * 1e3:.0f} ms for 10,000 ({large / small:.1f} times); with the gradient"
        f" {once * 1e3:.0f} ms for 1,000, {more * 1e3:.0f} ms for 4,000 ({more / once:.1f} times).",
        "",
        f"Memory of a CNN step at batch 128: eager {eager / 1e6:.1f} MB, compiled {compiled / 1e6:.1f} MB ({compiled / eager:.2f}).",
    ]
