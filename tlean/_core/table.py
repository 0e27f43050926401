"""The kernel table: name -> address, from the build of the kernels that suits this processor.

`TLEAN_ISA` (base, avx2, avx512) forces one of the builds.
"""

import importlib
import os
from importlib.machinery import EXTENSION_SUFFIXES

from .threads import cpu_supports

ISAS = ("avx512", "avx2", "base")


def _families(isa):
    # The compiled modules of one instruction set: every one is a family of kernels.
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
        if not _families(forced):
            raise ImportError(f"TLEAN_ISA={forced}: the kernels were not built for it")
        return forced
    for isa in ISAS:
        if cpu_supports(isa) and _families(isa):
            return isa
    raise ImportError("tlean: no compiled kernels were found; build the package first (pip install .)")


ISA = choose()
#: "<kernel>:<f32|f64>" -> address of a `tl_kernel`.
KERNELS: dict[str, int] = {}
#: The same for the inner loops of elementwise kernels.
INNER: dict[str, int] = {}
#: "<op>:<f32|f64>:<input>" -> address of a step of the register machine (plan/chain_machine.h).
STEPS: dict[str, int] = {}
#: The same for the entries of kernels that say when parts of their output are final (`tl_producer`).
PRODUCERS: dict[str, int] = {}
#: The kernels that can add into their output.
ACCUMULATES: set[str] = set()
#: Of other projects: kernels with an inner loop that cannot.
ONCE: set[str] = set()
#: Family -> module.
MODULES = {}
for _family in _families(ISA):
    MODULES[_family] = _module = importlib.import_module(f"tlean._core.isa_{ISA}.{_family}")
    KERNELS.update(_module.KERNELS)
    ACCUMULATES.update(getattr(_module, "ACCUMULATES", ()))
    INNER.update(getattr(_module, "INNER", {}))
    PRODUCERS.update(getattr(_module, "PRODUCERS", {}))
    STEPS.update(getattr(_module, "STEPS", {}))
