"""Who may import whom. Every import is parsed, those inside functions too; an upward one fails, and so does a circle of files."""

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

# The rooms from the ground up; a room imports from the floors below its own alone. `_core` stands beside: it imports nothing of tlean, and
# everything from `profile` up may import it.
FLOORS = (
    {"_moved", "errors", "locks"},
    {"arguments", "arrays", "files", "shapes"},
    {"gradients", "plotting", "rng", "tree"},
    {"ops"},
    {"_generated", "options", "profile"},
    {"reference"},
    {"compiler"},
    {"cuda", "interpreters"},
    {"devices"},
    {"custom", "param", "programs"},
    {"optim"},
    {"session", "tape"},
    {"autodiff", "backends", "dispatch"},
    {"data", "functions"},
    {"nn"},
    {"testing", "train"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
#: Imports inside functions of the library's own modules, each with its reason: (importing module, imported module).
LATE = {("tlean.devices", "tlean.cuda.device"): "CUDA doubles the time of `import tlean`, so it is loaded with the first device"}

# What models, data and training may use of the core: arrays and threads, never a kernel.
NO_KERNELS = {"data", "nn", "optim", "train"}
CORE_WITHOUT_KERNELS = {"tlean._core.array", "tlean._core.plan.commit", "tlean._core.threads"}
KERNEL_EXCEPTIONS = {"tlean.optim.updates": "the fused optimiser kernels update parameters in place: they are no ops"}


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


def test_every_room_has_a_floor() -> None:
    rooms = {room(module_name(p)) for p in SOURCES} - {"", "_core"}
    assert rooms == FLOOR.keys(), f"say in FLOORS where these stand: {sorted(rooms ^ FLOOR.keys())}"


def upward_edges(path: Path, text: str | None = None) -> list[str]:
    module = module_name(path)
    here = room(module)
    wrong = []
    for other in imported(path, text):
        if other != "tlean" and not other.startswith("tlean."):
            continue
        there = room(other)
        if here == "_core":
            allowed = there == "_core"
        elif there == "_core":
            allowed = here == "gradients" or FLOOR[here] >= FLOOR["profile"]
            allowed &= here not in NO_KERNELS or other in CORE_WITHOUT_KERNELS or module in KERNEL_EXCEPTIONS
        elif there == "":
            # The command line is a user of the package: it may import the package itself.
            allowed = FLOOR[here] >= FLOOR["cli"]
        else:
            allowed = here == there or FLOOR[there] < FLOOR[here]
        if not allowed:
            wrong.append(f"{module} imports {other}")
    return wrong


def test_no_upward_import() -> None:
    wrong = [edge for path in SOURCES if path != PACKAGE / "__init__.py" for edge in upward_edges(path)]
    assert not wrong, "\n".join(wrong)


def edges() -> dict[str, set[str]]:
    """Which modules each module imports, `_core` aside."""
    found = {module_name(p): {m for m in imported(p) if m.startswith("tlean.")} for p in SOURCES if "_core" not in p.parts}
    return {m: {o for o in others if o in found and o != m} for m, others in found.items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle of the graph, [] where there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if found := walk(other, [*path, node]):
                return found
        done.add(node)
        return []

    return next(filter(None, (walk(node, []) for node in sorted(graph))), [])


def test_no_two_files_import_each_other() -> None:
    assert not circle(edges())
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def late_imports() -> set[tuple[str, str]]:
    """Imports inside functions of modules that are the library's own."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                lines = [ast.unparse(n) for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
                found |= {(module_name(path), m) for m in imported(path, "\n".join(lines)) if m.startswith("tlean")}
    return found


def test_imports_stand_at_the_top() -> None:
    assert late_imports() == LATE.keys()


def test_kernel_exceptions_are_needed() -> None:
    every = {(module_name(p), other) for p in SOURCES for other in imported(p)}
    kernels = {m for m, o in every if room(m) in NO_KERNELS and room(o) == "_core" and o not in CORE_WITHOUT_KERNELS}
    assert kernels == KERNEL_EXCEPTIONS.keys()


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
        "import tlean.interpreters.eager",
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
