"""Import paths of version 0.1: each still works, with a DeprecationWarning that names the new one. They go in version 0.3."""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

#: Old module -> where its names are now; the first is the module that it became.
MOVED: dict[str, tuple[str, ...]] = {
    "tlean._faces": ("tlean._generated",),
    "tlean._faces.functions": ("tlean.functions",),
    "tlean._faces.methods": ("tlean._generated.methods",),
    "tlean._faces.tape_methods": ("tlean._generated.tape_methods",),
    "tlean.backends.blocked": ("tlean.compiler.passes.channel_blocks",),
    "tlean.backends.capture": ("tlean.programs.inline",),
    "tlean.backends.captured": ("tlean.programs.captured",),
    "tlean.backends.compiled": ("tlean.programs.compiled",),
    "tlean.backends.cost": ("tlean.compiler.cost",),
    "tlean.backends.cpu": ("tlean.compiler.cpu",),
    "tlean.backends.derive": ("tlean.compiler.derive",),
    "tlean.backends.dual": ("tlean.interpreters.dual",),
    "tlean.backends.eager": ("tlean.interpreters.eager",),
    "tlean.backends.epilogue": ("tlean.compiler.passes.epilogues",),
    "tlean.backends.executable": ("tlean.programs.executable",),
    "tlean.backends.fuse": ("tlean.compiler.passes.fuse",),
    "tlean.backends.graph": ("tlean.compiler.graph",),
    "tlean.backends.hosted": ("tlean.compiler.by_definition",),
    "tlean.backends.jit": ("tlean.programs.jit",),
    "tlean.backends.kernel_check": ("tlean.compiler.kernel_check",),
    "tlean.backends.lower": (
        "tlean.compiler.lower",
        "tlean.compiler.cost",
        "tlean.compiler.passes.expand",
        "tlean.compiler.passes.merge",
        "tlean.compiler.passes.fold",
        "tlean.compiler.arrange",
        "tlean.compiler.cpu",
        "tlean.devices",
        "tlean.interpreters.instances",
        "tlean.compiler.memory",
    ),
    "tlean.backends.memory": ("tlean.compiler.memory",),
    "tlean.backends.outer": ("tlean.compiler.passes.outer_updates",),
    "tlean.backends.plan_check": ("tlean.compiler.plan_check",),
    "tlean.backends.reads": ("tlean.programs.reads",),
    "tlean.backends.reference": ("tlean.reference.interpreter",),
    "tlean.backends.reference_ops": ("tlean.reference.definitions",),
    "tlean.backends.reference_ops.attention": ("tlean.reference.definitions.attention",),
    "tlean.backends.reference_ops.conv": ("tlean.reference.definitions.conv",),
    "tlean.backends.reference_ops.elementwise": ("tlean.reference.definitions.elementwise",),
    "tlean.backends.reference_ops.indexing": ("tlean.reference.definitions.indexing",),
    "tlean.backends.reference_ops.layout": ("tlean.reference.definitions.layout",),
    "tlean.backends.reference_ops.linalg": ("tlean.reference.definitions.linalg",),
    "tlean.backends.reference_ops.loss": ("tlean.reference.definitions.loss",),
    "tlean.backends.reference_ops.norm": ("tlean.reference.definitions.norm",),
    "tlean.backends.reference_ops.optim": ("tlean.reference.definitions.optim",),
    "tlean.backends.reference_ops.pool": ("tlean.reference.definitions.pool",),
    "tlean.backends.reference_ops.random": ("tlean.reference.definitions.random",),
    "tlean.backends.reference_ops.reduce": ("tlean.reference.definitions.reduce",),
    "tlean.backends.reference_ops.scalars": ("tlean.reference.definitions.scalars",),
    "tlean.backends.strips": ("tlean.compiler.passes.chain_runs",),
    "tlean.backends.target": ("tlean.compiler.target",),
    "tlean.cuda.array": (
        "tlean.cuda.runtime.array",
        "tlean.cuda.runtime.values",
    ),
    "tlean.cuda.call": ("tlean.cuda.calls.call",),
    "tlean.cuda.capture": ("tlean.cuda.runtime.graphs",),
    "tlean.cuda.compile": ("tlean.cuda.runtime.nvcc",),
    "tlean.cuda.context": ("tlean.cuda.runtime.context",),
    "tlean.cuda.dlpack": ("tlean.cuda.runtime.dlpack",),
    "tlean.cuda.flags": ("tlean.cuda.runtime.flags",),
    "tlean.cuda.launch": (
        "tlean.cuda.calls.launch",
        "tlean.cuda.calls.table",
    ),
    "tlean.cuda.place": ("tlean.devices",),
    "tlean.cuda.prepared": (
        "tlean.cuda.calls.prepared",
        "tlean.cuda.calls.packing",
    ),
    "tlean.cuda.program": ("tlean.cuda.plan",),
    "tlean.cuda.streams": ("tlean.cuda.runtime.driver",),
    "tlean.cuda.uploads": ("tlean.cuda.runtime.uploads",),
    "tlean.cuda.values": ("tlean.cuda.runtime.values",),
    "tlean.drawing": ("tlean.tape.drawing",),
    "tlean.indices": ("tlean.session.indices",),
    "tlean.session_calls": ("tlean.session.calls",),
    "tlean.session_compiled": ("tlean.session.compiled",),
    "tlean.session_cuda": ("tlean.session.cuda",),
    "tlean.show": (
        "tlean.tape.show",
        "tlean.tape.shown",
    ),
    "tlean.tape_cuda": ("tlean.tape.cuda",),
    "tlean.train.arrays": ("tlean.arguments",),
    "tlean.train.augment": ("tlean.data.augment",),
    "tlean.train.average": ("tlean.optim.average",),
    "tlean.train.batches": ("tlean.data.batches",),
    "tlean.train.data": (
        "tlean.data",
        "tlean.data.datasets",
        "tlean.data.table",
        "tlean.data.readers",
    ),
    "tlean.train.files": ("tlean.files",),
    "tlean.train.mnist": ("tlean.data.mnist",),
    "tlean.train.optim": (
        "tlean.optim",
        "tlean.optim.optimizers",
        "tlean.optim.clip",
    ),
    "tlean.train.optimizer": ("tlean.optim.optimizer",),
    "tlean.train.params": ("tlean.optim.param_list",),
    "tlean.train.prefetch": ("tlean.data.prefetch",),
    "tlean.train.readers": ("tlean.data.readers",),
    "tlean.train.schedules": ("tlean.optim.schedules",),
    "tlean.train.table": ("tlean.data.table",),
    "tlean.train.update": (
        "tlean.optim.updates",
        "tlean.optim.state",
    ),
}
#: Old name -> new name, of what was renamed as well.
RENAMED = {"Descent": "SGDUpdate", "Threaded": "StatefulTape"}


class _Moved(Loader):
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


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, _Moved()) if name in MOVED else None


def _depth() -> int:
    # The frames of the import system stand between the warning and the line that imports.
    depth, frame = 1, sys._getframe(1)
    while frame is not None and ("importlib" in frame.f_code.co_filename or frame.f_code.co_filename == __file__):
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    return depth


def install() -> None:
    """Answer for the modules that have moved."""
    sys.meta_path.insert(0, _Finder())
