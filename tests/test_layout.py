"""Who may import whom: errors, shapes <- ops <- backends <- tape, session, autodiff <- train, nn <- examples. Every import is parsed, those
inside functions too, and an upward one fails."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tlean"

# The rooms from the ground up; a room imports from its own storey and those below. `_core` stands beside: it imports nothing of tlean, and
# everything from the backends up may import it.
STOREYS = (
    {"arguments", "errors", "files", "locks", "shapes", "rng", "tree"},
    {"ops"},
    {"backends", "_faces", "cuda"},
    {"tape", "session", "autodiff", "dispatch", "custom", "indices", "options", "param", "show", "drawing", "profile"}
    | {"session_calls", "session_compiled", "session_cuda", "tape_cuda"},
    {"train", "nn", "interop", "testing"},
    {"cli", "__main__"},
)
STOREY = {room: level for level, rooms in enumerate(STOREYS) for room in rooms}
CORE_FROM = STOREY["backends"]

# Upward edges that stand, each with its reason: (importing module, imported module).
EXCEPTIONS = {
    ("tlean._faces.functions", "tlean.dispatch"): "the free functions ask which backend their argument belongs to",
    ("tlean.session", "tlean.train.update"): "a session's optimiser steps are the trainers' fused updates, imported when one is made",
}

# What `nn` and `train` may use of the core: arrays and threads, never a kernel.
NO_KERNELS = {"train", "nn"}
CORE_WITHOUT_KERNELS = {"tlean._core.array", "tlean._core.commit", "tlean._core.threads"}
KERNEL_EXCEPTIONS = {"tlean.train.update": "the fused optimiser kernels update parameters in place: they are no ops"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, text: str | None = None) -> Iterator[str]:
    """The full names of the modules that a Python file imports, wherever in it, except for type checking alone.

    With `text` the file is taken to hold that.
    """
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text() if text is None else text)
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inside = ROOT / Path(*origin.split(".")) if origin else ROOT
                module = (inside / f"{alias.name}.py").exists() or (inside / alias.name).is_dir() or (inside / f"{alias.name}.pyx").exists()
                yield f"{origin}.{alias.name}" if module else origin


def room(module: str) -> str:
    """The first name under `tlean`: the room a module belongs to ("" for the package itself)."""
    return [*module.split("."), ""][1]


SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if "__pycache__" not in p.parts)


def test_every_room_has_a_storey() -> None:
    rooms = {room(module_name(p)) for p in SOURCES} - {"", "_core"}
    assert rooms <= STOREY.keys(), f"say in STOREYS where these stand: {sorted(rooms - STOREY.keys())}"


def upward_edges(path: Path, text: str | None = None) -> list[str]:
    module = module_name(path)
    here = room(module)
    wrong = []
    for other in imported(path, text):
        if other != "tlean" and not other.startswith("tlean."):
            continue
        there = room(other)
        if (module, other) in EXCEPTIONS:
            continue
        if here == "_core":
            allowed = there == "_core"
        elif there == "_core":
            allowed = STOREY[here] >= CORE_FROM and (here not in NO_KERNELS or other in CORE_WITHOUT_KERNELS or module in KERNEL_EXCEPTIONS)
        else:
            # The top storey is a user of the package: it may import the package itself.
            allowed = STOREY[there] <= STOREY[here] if there in STOREY else there == "" and here in STOREYS[-1]
        if not allowed:
            wrong.append(f"{module} imports {other}")
    return wrong


def test_no_upward_import() -> None:
    wrong = [edge for path in SOURCES if path != PACKAGE / "__init__.py" for edge in upward_edges(path)]
    assert not wrong, "\n".join(wrong)


def test_exceptions_are_needed() -> None:
    edges = {(module_name(p), other) for p in SOURCES for other in imported(p)}
    assert edges >= EXCEPTIONS.keys(), f"no longer there: {sorted(EXCEPTIONS.keys() - edges)}"
    kernels = {module for module, other in edges if room(other) == "_core" and other not in CORE_WITHOUT_KERNELS}
    assert kernels >= KERNEL_EXCEPTIONS.keys(), f"no longer needed: {sorted(KERNEL_EXCEPTIONS.keys() - kernels)}"


def test_ops_know_no_array_library() -> None:
    standard = sys.stdlib_module_names
    for path in (PACKAGE / "ops").rglob("*.py"):
        outside = {m.split(".")[0] for m in imported(path)} - {"tlean"} - standard
        assert not outside, f"{path.name} imports {sorted(outside)}"


def test_the_core_imports_nothing_of_tlean() -> None:
    pattern = re.compile(r"^\s*(?:from\s+([\w.]+)\s+(?:cimport|import)|(?:cimport|import)\s+([\w.]+))", re.MULTILINE)
    for path in [p for ending in ("*.pyx", "*.pxd", "*.pxi") for p in (PACKAGE / "_core").rglob(ending)]:
        for first, second in pattern.findall(path.read_text()):
            name = first or second
            assert not name.startswith("tlean") or name.startswith("tlean._core"), f"{path.name} imports {name}"
            assert not name.startswith(".."), f"{path.name} imports {name}"


def test_the_walls_hold() -> None:
    """The check itself: an upward import is found, wherever it stands and however it is written."""
    for text in (
        "from ..backends import eager",
        "import tlean.backends.eager",
        "def f():\n    from tlean import session",
        "from .. import _core",
    ):
        assert upward_edges(PACKAGE / "ops" / "probe.py", text), text
    assert upward_edges(PACKAGE / "_core" / "probe.py", "from ..errors import ShapeError")
    assert upward_edges(PACKAGE / "nn" / "probe.py", "from tlean._core.table import KERNELS")
    assert not upward_edges(PACKAGE / "nn" / "probe.py", "import numpy\nfrom ..ops import get\nfrom . import linear")


def test_examples_use_the_public_api() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        private = [m for m in imported(path) if m.startswith("tlean.") and any(part.startswith("_") for part in m.split("."))]
        assert not private, f"{path.name} imports {private}"


@pytest.mark.parametrize("absent", ["pycuda", "torch", "matplotlib", "sklearn", "safetensors", "tqdm"])
def test_import_needs_numpy_alone(absent: str) -> None:
    program = f"import sys; import tlean; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
