"""What is imported when it is first used: names of a package, and functions that rooms below call in rooms above."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.machinery import PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from .locks import Lock

#: Names of a package and functions are imported by one thread at a time. No module needs one of them while it is imported, so that no
#: thread that has Python's lock of a module waits for this one.
_lock = Lock()

#: Rooms and modules -> rooms that are imported whole before them, since they import parts of these.
#:
#: For `a.b` Python takes the lock of `a.b`, then imports `a`, whose own lines may import `a.c` and that `a.b`. A second thread, which is in
#: `a.c` and imports `a.b`, would wait for the first one, and that for it: `_DeadlockError`. If `a` is whole before anyone imports a part of
#: it from outside, all threads take locks in the order in which rooms lie above each other.
BEFORE = {
    "arrays.numpy_calls": "indexing",
    "custom": "autodiff loops",
    "data": "optim",
    "distributed": "custom data nn optim train",
    "implicit": "loops",
    "interop.c_code": "nn optim",
    "interop.onnx": "nn interop.c_code",
    "interop.program_file": "loops nn train",
    "interop.tracing": "nn",
    "mcmc": "solvers",
    "nn": "data optim session",
    "nn.examples": "autodiff",
    "scipy": "solvers sparse",
    "session": "optim",
    "sklearn.estimators": "train",
    "solvers": "loops stats",
    "sparse": "autodiff",
    "tape": "optim",
    "train": "data optim",
    "train.checks": "nn",
    "train.fit": "nn",
    "train.steps": "session",
}
#: What comes before every room that lies above it.
FIRST = "ops"
#: Rooms that it imports, and those that do not need it.
BELOW_OPS = frozenset(
    ("_core", "_generated", "_moved", "arguments", "arrays", "caching", "cuda", "display", "dtypes", "errors", "files", "later", "locks")
) | {"ops", "options", "rng", "shapes", "tree"}


class _Loader(SourceFileLoader):
    """Runs a module after what comes before it. It is among `sys.modules` by then: Python waits for such a module without an error."""

    def exec_module(self, module: ModuleType) -> None:
        short = module.__name__.removeprefix("tlean.")
        if "." not in short and short not in BELOW_OPS:
            whole(f"tlean.{FIRST}")
        for room in BEFORE.get(short, "").split():
            whole(f"tlean.{room}")
        super().exec_module(module)


class _Order:
    """What `sys.meta_path` asks before all others: gives modules of ours that loader."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        package, _, short = name.partition(".")
        if package != "tlean" or not (short in BEFORE or ("." not in short and short not in BELOW_OPS)):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, _Order)  # type: ignore[arg-type]


def whole(module: str) -> ModuleType:
    """Import a module, after the packages that it lies in.

    Args:
        module: its whole name.
    """
    # A Ctrl-C meanwhile interrupts when the module is whole: half of one, of which some ops are declared or a part in C is initialised,
    # cannot be imported again.
    before, notes = signal.getsignal(signal.SIGINT), list[Any]()
    held = callable(before)
    try:
        if held:
            signal.signal(signal.SIGINT, lambda *note: notes.append(note))
    except ValueError:  # Not the main thread: no signal interrupts this one.
        held = False
    try:
        parts = module.split(".")
        return [import_module(".".join(parts[: k + 1])) for k in range(len(parts))][-1]
    finally:
        if held:
            signal.signal(signal.SIGINT, before)
        if notes and callable(before):
            before(*notes[0])


def names(package: str, modules: Mapping[str, str], holders: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package whose names are imported when they are first asked for.

    Args:
        package: its name.
        modules: the names that are modules -> which.
        holders: all other names -> the module that has them.

    Returns: `__getattr__`, `__dir__`.
    """
    space = vars(sys.modules[package])

    def attribute(name: str) -> Any:
        module = modules.get(name) or holders.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with _lock:
            value = whole(module)
            space[name] = result = value if name in modules else getattr(value, name)
        return result

    return attribute, lambda: sorted({*space, *modules, *holders})


def function(module: str, name: str) -> Callable[..., Any]:
    """A function that imports a module when it is first called, and calls the module's function of that name.

    Args:
        module: its whole name.
        name: of the function.
    """
    target: Callable[..., Any] | None = None

    def call(*arguments: Any) -> Any:
        nonlocal target
        if target is None:
            with _lock:
                target = getattr(whole(module), name)
        return target(*arguments)

    return call
