"""Kernels of other projects: C functions under names that records find, and where the headers for them are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tlean._core.capi as capi
from tlean._core.capi.table import ABI, VERSION
from tlean._core.table import ACCUMULATES, INNER, ISA, ISAS, KERNELS, ONCE
from tlean.arguments import flag
from tlean.dtypes import SUFFIX
from tlean.errors import OptionError
from tlean.ops import all_ops


def get_include() -> str:
    """The folder of `tlean.h`, for a compiler's include directories.

    Example:
        >>> from pathlib import Path
        >>> Path(tl.get_include(), "tlean.h").exists()
        True
    """
    return str(Path(*capi.__path__))


def register_kernels(kernels: Mapping[str, Any], *, abi: int, loops: Mapping[str, Any] | None = None, accumulates: bool = False) -> None:
    """Make C functions the kernels of ops that are declared afterwards, with `tl.defop`: on the CPU they run eagerly, compiled, in loops.

    Args:
        kernels: "<kernel>:<f32|f64|i64|i32|b8>" → address of a function of type `tl_kernel`; or one such mapping for each instruction set,
            "base", "avx2", "avx512", of which the best is taken that tlean itself uses (`TLEAN_ISA` chooses).
        abi: `TL_ABI`, as it was when they were compiled.
        loops: for kernels that work element by element, likewise → address of a `tl_loop`: compiled programs fuse their ops with others.
        accumulates: kernels with a loop add to their output where they are told so. Otherwise they are never told.

    Raises: ImportError where `abi` is not this tlean's; OptionError for an ABI that is no number, a name that is none or is taken, an
        address that is none, a loop without a kernel, or an op that is declared already.
    """
    if type(abi) is not int:
        raise OptionError(f"register_kernels: abi must be an int, got {type(abi).__name__}")
    if abi != ABI:
        raise ImportError(
            f"register_kernels: these kernels were built for ABI {abi} of tlean, and tlean {VERSION} has ABI {ABI}: build them again"
        )
    chosen, inner = _chosen("kernels", kernels), _chosen("loops", loops or {})
    declared = {record.kernel for record in all_ops()}
    for name in chosen:
        if name in KERNELS:
            raise OptionError(f"register_kernels: the name {name!r} is taken")
        if name.partition(":")[0] in declared:
            raise OptionError(f"register_kernels: kernels come before the ops that use them, got {name!r}, whose op is declared already")
    for name in inner:
        if name not in chosen:
            raise OptionError(f"register_kernels: a loop belongs to a kernel of its name, got {name!r} without one")
    added = {name.partition(":")[0] for name in inner}
    (ACCUMULATES if flag("register_kernels", "accumulates", accumulates) else ONCE).update(added)
    KERNELS.update(chosen)
    INNER.update(inner)


def _chosen(what: str, table: Mapping[str, Any]) -> dict[str, int]:
    # The entries for the instruction set that is used, each a name and an address.
    if not isinstance(table, Mapping):
        raise OptionError(f"register_kernels: {what} must be a dictionary, got {type(table).__name__}")
    if any(isinstance(entry, Mapping) for entry in table.values()):
        unknown = [key for key in table if key not in ISAS]
        if unknown:
            raise OptionError(f"register_kernels: an instruction set must be one of {', '.join(ISAS)}, got {unknown[0]!r}")
        usable = [isa for isa in ISAS[ISAS.index(ISA) :] if isa in table]
        if not usable:
            raise OptionError(f"register_kernels: {what} for {ISA} or a lesser instruction set are needed, got {', '.join(table)}")
        best = table[usable[0]]
        if isinstance(best, Mapping) and any(isinstance(entry, Mapping) for entry in best.values()):
            raise OptionError(
                f"register_kernels: {what} for {usable[0]} must be names and addresses, got another dictionary of instruction sets"
            )
        return _chosen(what, best)
    for name, address in table.items():
        kernel, colon, suffix = name.partition(":") if isinstance(name, str) else ("", "", "")
        if not (kernel.isidentifier() and colon and suffix in SUFFIX.values()):
            raise OptionError(f"register_kernels: a name must be '<kernel>:<{'|'.join(SUFFIX.values())}>', got {name!r}")
        if type(address) is not int or not 0 < address < 1 << 64:
            raise OptionError(f"register_kernels: {name!r} must be the address of a function, got {address!r}")
    return dict(table)
