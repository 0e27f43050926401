"""The kernel table: name -> address, from the build of the kernels that suits this processor (`threads/isa.py`)."""

import importlib

from .threads.isa import ISA, ISAS, choose, families

__all__ = ["ACCUMULATES", "INNER", "ISA", "ISAS", "KERNELS", "MODULES", "PRODUCERS", "STEPS", "choose"]

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
for _family in families(ISA):
    MODULES[_family] = _module = importlib.import_module(f"tlean._core.isa_{ISA}.{_family}")
    KERNELS.update(_module.KERNELS)
    ACCUMULATES.update(getattr(_module, "ACCUMULATES", ()))
    INNER.update(getattr(_module, "INNER", {}))
    PRODUCERS.update(getattr(_module, "PRODUCERS", {}))
    STEPS.update(getattr(_module, "STEPS", {}))
