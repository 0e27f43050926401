"""The instruction set whose kernels are used: the best that is built and that this processor has.

`TLEAN_ISA` (base, avx2, avx512) forces one of the builds.
"""

import importlib
import os
from importlib.machinery import EXTENSION_SUFFIXES

from .threads import cpu_supports

ISAS = ("avx512", "avx2", "base")


def families(isa):
    """The compiled modules of one instruction set: every one is a family of kernels."""
    package = importlib.import_module(f"tlean._core.isa_{isa}")
    names = [file.name for path in package.__path__ for file in os.scandir(path)]
    return sorted({name.partition(".")[0] for name in names if name.endswith(tuple(EXTENSION_SUFFIXES))})


def choose():
    """The instruction set whose kernels are used: the one that TLEAN_ISA names, or the best that is built and that the processor has."""
    forced = os.environ.get("TLEAN_ISA", "").lower()
    if forced:
        if forced not in ISAS:
            raise ImportError(f"TLEAN_ISA must be one of {', '.join(ISAS)}, not {forced!r}")
        if not cpu_supports(forced):
            raise ImportError(f"TLEAN_ISA={forced}: this processor does not have it")
        if not families(forced):
            raise ImportError(f"TLEAN_ISA={forced}: the kernels were not built for it")
        return forced
    for isa in ISAS:
        if cpu_supports(isa) and families(isa):
            return isa
    raise ImportError("tlean: no compiled kernels were found; build the package first (pip install .)")


ISA = choose()
