"""How the arguments of a launch are packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernels.plan import Launch

if TYPE_CHECKING:
    from ..runtime.context import Context


def signature(launch: Launch) -> str:
    """The layout of a launch's arguments, in the letters of the module `struct`; integers and pointers are 8 bytes."""
    letters = ""
    for a in launch.args:
        if isinstance(a, float):
            letters += "f"
        elif isinstance(a, tuple):
            letters += "q" * len(a)
        else:
            letters += "q"
    return letters


def launch(where: Context, function: object, found: Launch) -> None:
    """Queue a launch whose arguments are addresses and numbers."""
    if not found.empty:
        with where.current():
            function.prepared_async_call(found.grid, found.block, where.stream, *found.args)  # type: ignore[attr-defined]
            where.check_launch()
