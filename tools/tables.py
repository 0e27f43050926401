"""Writes the tables of the docs from the registry: `python -m tools.tables [FOLDER]`, which is `docs` by default."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tlean.cuda.kernels import kernel_families
from tlean.ops import protocol, registry
from tlean.ops.batching import ROUNDED
from tlean.ops.protocol import Ops
from tlean.ops.registry import OpDef

from .names import PAGES, page

_HEADER = """# The ops

Written by `make docs` from the registry and the protocol; a test fails where it is out of date. The full entry of an op, with its formula,
arguments and errors, is its docstring: `help(tl.Ops.conv2d)`.

* **result**: the shape of the result; `()` is a scalar, `s` any shape, `*k` any number of axes, `N` an optional batch axis.
* **kernel**: the kernel behind it; a *view* moves nothing; *parts* runs the kernels of its decomposition as one op; a *composite* records
  the ops that it is made of.
* **VJP**, **JVP**: *rule* where the op has its own, *parts* where its decomposition into primitives is differentiated, – where every
  gradient is none by definition. Either can be differentiated again, so every op with a derivative has a second one.
* **batch**: what `vmap` makes of it: *rule* where its rule gives each example the bits of a call by itself, *rounded* where it may round
  otherwise, *parts* where the decomposition is batched, – where there is no array to batch. In every case it is one call for all examples.
* **exact**: whether the reference backend computes it in `fractions.Fraction`; *parts*: where it does so for the ops that make it up.
"""
_COLUMNS = ("op", "result", "kernel", "VJP", "JVP", "batch", "exact", "what it does")


def _families() -> list[tuple[str, str, list[str]]]:
    # (title, module, names) in the order in which the protocol declares them.
    families = []
    for base in Ops.__mro__:
        names = [n for n, f in vars(base).items() if inspect.isfunction(f) and not n.startswith("_")]
        if base.__module__.startswith(protocol.__name__ + ".") and names:
            title = (sys.modules[base.__module__].__doc__ or "").splitlines()[0].partition(". ")[0].rstrip(".")
            families.append((title, base.__module__, names))
    return families


def _signature(name: str) -> str:
    parts = []
    for p in inspect.signature(getattr(Ops, name)).parameters.values():
        if p.name not in ("self", "name"):
            parts.append(p.name if p.default is p.empty else f"{p.name}={p.default!r}")
    return f"`{name}({', '.join(parts)})`"


def _section(text: str, title: str) -> str:
    section = re.search(rf"^{title}:(.*?)(?=^\S|\Z)", text, re.M | re.S)
    return " ".join(section.group(1).split()) if section else ""


def _derivative(record: OpDef | None, which: str) -> str:
    if record is None:
        return "parts"
    if not record.differentiable or (record.rule("vjp") is registry.no_gradient and record.rule("jvp") is registry.no_tangent):
        return "–"
    return "rule" if record.rule(which) else "parts"


def _batch(record: OpDef | None) -> str:
    if record is None:
        return "parts"
    if not record.inputs:
        return "–"
    return "parts" if record.rule("batch") is None else "rounded" if record.name in ROUNDED else "rule"


def _row(name: str) -> tuple[str, ...]:
    text = inspect.getdoc(getattr(Ops, name)) or ""
    first = text.splitlines()[0].rstrip(".")
    target = registry.aliases().get(name)
    if target and first == f"Alias of `{target}`":
        return (_signature(name), *[""] * (len(_COLUMNS) - 2), first)
    record = None if name in registry.composites() else registry.get(name)
    if record is None:
        kernel = "composite"
    elif record.view:
        kernel = "view"
    elif record.rules.kernel_params is None and record.rules.decompose is not None:
        kernel = "parts"
    else:
        kernel = f"`{record.kernel}`"
    exact = "parts" if record is None else "yes" if record.algebraic else "no"
    derivatives = (_derivative(record, "vjp"), _derivative(record, "jvp"))
    return (_signature(name), _section(text, "Returns").rstrip("."), kernel, *derivatives, _batch(record), exact, first)


def ops_table() -> str:
    """The text of `docs/ops.md`."""
    lines = [_HEADER]
    for title, _, names in _families():
        lines += [f"## {title}", "", f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in _row(name)) + " |" for name in names]
        lines.append("")
    return "\n".join(lines)


_CUDA_HEADER = """# Ops on CUDA

Written by `make docs` from the registry and the kernels; a test fails where it is out of date. How to use them: [cuda.md](cuda.md).
"""


def _cuda_row(record: OpDef) -> tuple[str, str, str]:
    # An op, its kernel, and the module that has it (or why it needs none, or that there is none).
    if record.view:
        return f"`{record.name}`", "–", "a view: no kernel"
    if record.rules.kernel_params is None and record.rules.decompose is not None:
        return f"`{record.name}`", "–", "runs the kernels of its parts"
    # Kernels that work in no float have that dtype's ending.
    families = kernel_families()
    family = next((families[k] for k in (record.kernel, *(f"{record.kernel}:{s}" for s in ("i64", "b8"))) if k in families), None)
    return f"`{record.name}`", f"`{record.kernel}`", f"`{family.name}`" if family else "**none yet**"


def cuda_table() -> str:
    """The text of `docs/cuda_ops.md`."""
    rows = [_cuda_row(record) for record in registry.all_ops()]
    missing = sum(r[2] == "**none yet**" for r in rows)
    title = f"\n{len(rows)} ops, those that only rules call among them; {missing} without a kernel.\n"
    return "\n".join([_CUDA_HEADER + title, "| op | kernel | where |", "|---|---|---|", *(f"| {' | '.join(r)} |" for r in rows)]) + "\n"


#: Every table: file in the folder -> its text.
TABLES: dict[str, Callable[[], str]] = {"ops.md": ops_table, "cuda_ops.md": cuda_table, **{name: partial(page, name) for name in PAGES}}

if __name__ == "__main__":
    for _name, _text in TABLES.items():
        (Path(*sys.argv[1:2] or ["docs"]) / _name).write_text(_text())
