"""What an instruction of a plan does on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..compiler.target import Arrangement
from .fused import module_of
from .kernels.plan import Family, Launch
from .updates import Row


@dataclass(frozen=True)
class Code:
    """What an instruction does on the device: launches with the families that have them; None means the plan's own kernels.

    Attributes:
        source: the text of the kernel that the plan has to compile for it.
        copied: bytes to copy from the input to the output, where it is a copy.
        update: the op and the parameters, where it is an optimiser's step over several.
        loop: what runs, where it is a loop.
    """

    launches: tuple[tuple[Family | None, Launch], ...] = ()
    source: str = ""
    copied: int = 0
    update: tuple[str, tuple[Row, ...]] | None = None
    loop: Any = None


def module(arrangement: Arrangement) -> Family:
    """The kernels that a plan needs beyond those of the ops: of all of its groups."""
    return module_of(s.code.source for s in arrangement.program.steps if s.code.source)
