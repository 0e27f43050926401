"""The table of ops and their CUDA kernels in `docs/cuda_ops.md`: `python -m tlean.cuda.table docs/cuda_ops.md` writes it anew."""

from __future__ import annotations

import sys
from pathlib import Path

from ..ops import OpDef, all_ops
from .kernels import kernel_families

_HEADER = """# Ops on CUDA

Written by `python -m tlean.cuda.table docs/cuda_ops.md` from the registry and the kernels; a test fails where it is out of date. How to use
them: [cuda.md](cuda.md).
"""


def row(record: OpDef) -> tuple[str, str, str]:
    """An op, its kernel, and the module that has it (or why it needs none, or that there is none)."""
    if record.view:
        return f"`{record.name}`", "–", "a view: no kernel"
    if record.rules.numbers is None and record.rules.decompose is not None:
        return f"`{record.name}`", "–", "runs the kernels of its parts"
    family = kernel_families().get(record.kernel)
    return f"`{record.name}`", f"`{record.kernel}`", f"`{family.name}`" if family else "**none yet**"


def table() -> str:
    """The text of `docs/cuda_ops.md`."""
    rows = [row(record) for record in all_ops()]
    missing = sum(r[2] == "**none yet**" for r in rows)
    title = f"\n{len(rows)} ops, those that only rules call among them; {missing} without a kernel.\n"
    return "\n".join([_HEADER + title, "| op | kernel | where |", "|---|---|---|", *(f"| {' | '.join(r)} |" for r in rows)]) + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(table())
    else:
        print(table())
