"""Import paths of version 0.1: each still works, with a DeprecationWarning that names the new one. They go in version 0.3."""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any

#: Modules of one name in another package, "old package, names -> new package"; then "old module -> where its names are now", the first of
#: which is the module that it became.
_TABLE = """
tlean._faces functions -> tlean
tlean._faces methods tape_methods -> tlean._generated
tlean.backends compiled executable jit -> tlean.programs
tlean.backends cost cpu derive graph memory target -> tlean.compiler
tlean.backends dual eager -> tlean.interpreters
tlean.backends fuse -> tlean.compiler.passes
tlean.backends.reference_ops attention conv elementwise indexing layout linalg loss -> tlean.reference.definitions
tlean.backends.reference_ops norm optim pool random reduce scalars -> tlean.reference.definitions
tlean.cuda call -> tlean.cuda.calls
tlean.cuda context dlpack values -> tlean.cuda.runtime
tlean drawing -> tlean.tape
tlean indices -> tlean.session
tlean.train augment mnist prefetch readers -> tlean.data
tlean.train average optimizer schedules -> tlean.optim
tlean._faces -> tlean._generated
tlean.backends.blocked -> tlean.compiler.passes.channel_blocks
tlean.backends.capture -> tlean.programs.inline
tlean.backends.epilogue -> tlean.compiler.passes.epilogues
tlean.backends.hosted -> tlean.compiler.by_definition
tlean.backends.lower -> tlean.compiler.lower tlean.compiler.cost tlean.compiler.arrange tlean.compiler.cpu tlean.compiler.memory
tlean.backends.lower -> tlean.compiler.passes.expand tlean.compiler.passes.merge tlean.compiler.passes.fold
tlean.backends.lower -> tlean.devices tlean.interpreters.instances
tlean.backends.outer -> tlean.compiler.passes.outer_updates
tlean.backends.reference -> tlean.reference.interpreter
tlean.backends.reference_ops -> tlean.reference.definitions
tlean.backends.strips -> tlean.compiler.passes.chain_runs
tlean.cuda.array -> tlean.cuda.runtime.array tlean.cuda.runtime.values
tlean.cuda.capture -> tlean.cuda.runtime.graphs
tlean.cuda.compile -> tlean.cuda.runtime.nvcc
tlean.cuda.launch -> tlean.cuda.calls.launch tlean.cuda.calls.table
tlean.cuda.place -> tlean.devices
tlean.cuda.prepared -> tlean.cuda.calls.prepared tlean.cuda.calls.packing
tlean.cuda.program -> tlean.cuda.plan
tlean.session_compiled -> tlean.session.compiled
tlean.session_cuda -> tlean.session.cuda
tlean.show -> tlean.tape.show tlean.tape.shown
tlean.tape_cuda -> tlean.tape.cuda
tlean.train.data -> tlean.data tlean.data.datasets tlean.data.table tlean.data.readers
tlean.train.optim -> tlean.optim tlean.optim.optimizers tlean.optim.clip
tlean.train.params -> tlean.optim.param_list
tlean.train.update -> tlean.optim.updates tlean.optim.state
"""


def _read(table: str) -> dict[str, tuple[str, ...]]:
    moved: dict[str, tuple[str, ...]] = {}
    for row in table.strip().splitlines():
        old, new = (side.split() for side in row.split(" -> "))
        homes: dict[str, tuple[str, ...]] = {f"{old[0]}.{name}": (f"{new[0]}.{name}",) for name in old[1:]}
        moved |= homes or {old[0]: (*moved.get(old[0], ()), *new)}
    return moved


#: Old module -> where its names are now.
MOVED = _read(_TABLE)
#: Old name -> new name, of what was renamed as well.
RENAMED = {"Descent": "SGDUpdate", "Threaded": "StatefulTape"}


class _Moved:
    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        homes = MOVED[spec.name]
        warnings.warn(f"{spec.name} has moved: import from {homes[0]}", DeprecationWarning, stacklevel=_depth())
        module = types.ModuleType(spec.name, f"Moved to {', '.join(homes)}.")

        def find(name: str) -> Any:
            if not name.startswith("__"):
                for home in map(importlib.import_module, homes):
                    if hasattr(home, RENAMED.get(name, name)):
                        return getattr(home, RENAMED.get(name, name))
            raise AttributeError(f"module {spec.name!r} has no attribute {name!r}; it has moved to {', '.join(homes)}")

        module.__getattr__ = find  # type: ignore[method-assign]
        # A package still has its modules.
        module.__path__ = []
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing is to be run."""


class _Finder:
    def find_spec(self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None) -> ModuleSpec | None:
        # Not a `Loader`: importing its base class takes a while.
        return ModuleSpec(name, _Moved()) if name in MOVED else None  # type: ignore[arg-type]


def _depth() -> int:
    # Between the warning and the line that imports are this function's caller and, for `importlib.import_module`, a frame of importlib;
    # those of the import system itself (`_bootstrap`) are not counted by `warnings.warn`.
    depth, frame = 2, sys._getframe(2)
    while frame is not None and "importlib" in frame.f_code.co_filename:
        depth, frame = depth + ("_bootstrap" not in frame.f_code.co_filename), frame.f_back  # type: ignore[assignment]
    return depth


def install() -> None:
    """Answer for the modules that have moved, once however often the package is reloaded."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
