"""Who may import whom: the rules of `tools/rooms.py` hold, and ops know no array library."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = next(p for p in Path(__file__).parents if (p / "tools" / "rooms.py").exists())
sys.path.insert(0, str(ROOT / "tools"))
rooms, imports = map(importlib.import_module, ("rooms", "imports"))

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the tools ask git which files there are")


@pytest.fixture(scope="module")
def every() -> list:
    """Every import of the package."""
    return imports.every_import()


def test_no_two_rooms_or_files_import_each_other(every: list) -> None:
    assert not rooms.wrong_circles(every)


def test_rooms_import_from_below(every: list) -> None:
    assert not rooms.wrong_layers(every)


def test_imports_stand_at_the_top(every: list) -> None:
    assert not rooms.wrong_lazy(every)


def test_ops_know_no_array_library(every: list) -> None:
    outside = {i.other.split(".")[0] for i in every if rooms.room(i.module) == "ops"} - {"tlean", imports.COMPUTED}
    assert outside <= sys.stdlib_module_names


def test_the_walls_hold() -> None:
    """The checks themselves: an upward import, a kernel where there is to be none, a circle."""
    assert rooms.wrong_layers([imports.Import("tlean.ops.probe", "tlean.session.base", 1, "tlean/ops/probe.py")])
    assert rooms.wrong_layers([imports.Import("tlean._core.probe", "tlean.errors", 1, "tlean/_core/probe.py")])
    assert rooms.wrong_layers([imports.Import("tlean.nn.probe", "tlean._core.table", 1, "tlean/nn/probe.py")])
    assert not rooms.wrong_layers([imports.Import("tlean.nn.probe", "tlean.ops", 1, "tlean/nn/probe.py")])


def test_examples_use_the_public_api() -> None:
    paths = [p.relative_to(ROOT).as_posix() for p in (ROOT / "examples").glob("*.py")]
    reader = imports.Reader([*imports.sources(), *paths])
    used = [i for p in paths for i in reader.imports(p, (ROOT / p).read_text())]
    assert not [str(i) for i in used if i.other.startswith("tlean.") and "._" in i.other]


@pytest.mark.parametrize("absent", ["pycuda", "torch", "matplotlib", "sklearn", "safetensors", "tqdm"])
def test_import_needs_numpy_alone(absent: str) -> None:
    program = f"import sys; import tlean; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
