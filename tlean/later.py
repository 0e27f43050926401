"""What is imported when it is first used: names of a package, and functions that rooms below call in rooms above."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from .locks import Lock

#: One thread at a time: two that import a module and its package, each in its way, would wait for each other.
_lock = Lock()


def _whole(module: str) -> ModuleType:
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
        return import_module(module)
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
            value = _whole(module)
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
                target = getattr(_whole(module), name)
        return target(*arguments)

    return call
