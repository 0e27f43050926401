"""The kernel table: name -> address, from the build of the kernels that suits this processor.

`TLEAN_ISA` (base, avx2, avx512) forces one of the builds.
"""

import importlib
import os

from .threads import cpu_supports

FAMILIES = (
    "elementwise", "reduce", "maximum", "layout", "pool", "norm", "softmax", "loss", "gather", "random", "optim",
    "gemm", "conv", "attention",
)  # fmt: skip
ISAS = ("avx512", "avx2", "base")


def _built(isa):
    package = importlib.import_module(f"tlean._core.isa_{isa}")
    files = " ".join(f for path in package.__path__ for f in os.listdir(path))
    return "elementwise." in files


def choose():
    """The instruction set whose kernels are used: the one that TLEAN_ISA names, or the best that is built and that the processor has."""
    forced = os.environ.get("TLEAN_ISA", "").lower()
    if forced:
        if forced not in ISAS:
            raise ImportError(f"TLEAN_ISA is one of {', '.join(ISAS)}, not {forced!r}")
        if not cpu_supports(forced):
            raise ImportError(f"TLEAN_ISA={forced}: this processor does not have it")
        return forced
    for isa in ISAS:
        if cpu_supports(isa) and _built(isa):
            return isa
    raise ImportError("tlean: no compiled kernels were found; build the package first (pip install .)")


ISA = choose()
KERNELS = {}
INNER = {}
ACCUMULATES = set()
for _family in FAMILIES:
    try:
        _module = importlib.import_module(f"tlean._core.isa_{ISA}.{_family}")
    except ModuleNotFoundError as _error:
        if _error.name != f"tlean._core.isa_{ISA}.{_family}":
            raise
        continue
    KERNELS.update(_module.KERNELS)
    ACCUMULATES.update(getattr(_module, "ACCUMULATES", ()))
    INNER.update(getattr(_module, "INNER", {}))
