"""How rows with a bound come from one program: forward, with its gradient, and the first call; or from a row of the eager harness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows.base import Row, StepRow
from rows.libraries import Bound, CompiledRow, Program, Timed

Arrays = Callable[[np.random.Generator], list[np.ndarray]]


def by_kinds(
    name: str,
    family: str,
    arrays: Arrays,
    params: int,
    programs: tuple[Program, Program | None, Program | None],
    bounds: dict[str, float | None],
) -> list[CompiledRow]:
    """A program's rows for tlean, PyTorch and JAX, by what is done with it; `bounds`: of JAX's time, None where a figure is only told."""
    ours, torch, jax = programs
    return [
        CompiledRow(
            f"{name}_{kind}",
            "grad" if kind == "first" else kind,
            arrays,
            params,
            ours,
            None if kind == "first" else torch,
            jax,
            family,
            () if most is None else (Bound(most),),
            first=kind == "first",
        )
        for kind, most in bounds.items()
    ]


def eager(row: Row | StepRow, mode: str, bounds: tuple[Bound, ...], family: str, **rest: Any) -> CompiledRow:
    """A row of the eager harness, held against a bound: its sides are built as they are there."""

    def ours(_: Any) -> Timed:
        from worker import Ours

        return Ours().build(row)[mode]

    def theirs(_: Any) -> Timed:
        from worker import Theirs

        return Theirs().build(row)[mode]

    arrays: Arrays = (lambda rng: []) if isinstance(row, StepRow) else row.arrays
    values: dict[str, Any] = {"ours": ours, "torch": theirs, "jax": None, "same": row.same} | rest
    return CompiledRow(
        row.name if mode == row.modes[0] else f"{row.name}_gradient", "call", arrays, 0, family=family, bounds=bounds, **values
    )
