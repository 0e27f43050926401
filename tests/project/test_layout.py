"""The rules of `tools/` hold: who may import whom, sizes, words and docstrings; and what docs/ says of the rooms is so."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = next(p for p in Path(__file__).parents if (p / "tools" / "rooms.py").exists())
sys.path.insert(0, str(ROOT / "tools"))
docstrings, imports, rooms, words = map(importlib.import_module, ("docstrings", "imports", "rooms", "words"))

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the tools ask git which files there are")


@pytest.fixture(scope="module")
def every() -> list:
    """Every import of the package."""
    return imports.every_import()


def test_no_two_rooms_or_files_import_each_other(every: list) -> None:
    assert not rooms.wrong_circles(every)


def test_rooms_import_from_below(every: list) -> None:
    assert not rooms.wrong_layers(every)


def test_imports_are_at_the_top(every: list) -> None:
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


def test_the_picture_of_the_rooms_is_up_to_date(every: list) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert rooms.with_picture(text, rooms.picture(every)) == text, "run `python tools/rooms.py --picture docs/architecture.md`"


def test_every_room_is_described() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## The rooms")[2]
    described = {name for bold in re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE) for name in re.findall(r"\w+", bold)}
    assert not {room for layer in rooms.LAYERS for room in layer} - described - {"_moved", "__main__"}


@pytest.mark.parametrize("page", ["architecture", "glossary"])
def test_the_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"`((?:tlean|tools|tests|docs)/[^`<]*)`", (ROOT / "docs" / f"{page}.md").read_text())
    assert named and not [path for path in named if not (ROOT / path).exists()]


def test_words_are_those_of_the_field() -> None:
    assert not words.wrong_words()


def test_retired_words_are_found() -> None:
    text = "x = 1  # a copy of\n# its own\nNobody reads it anew; a stand-in stands out.\n"
    assert list(words.places(text)) == [(1, "of its own"), (3, "Nobody"), (3, "anew")]
    assert all(words.advice(w) for _, w in words.places(text))


def test_docstrings_are_complete() -> None:
    """Arguments, results and errors, in the modules that are finished."""
    wrong = docstrings.wrong_docstrings()
    assert not {module: rows for module, rows in wrong.items() if module not in docstrings.OPEN}
    assert not [module for module in docstrings.OPEN if module not in wrong], "finished modules leave OPEN"


def test_what_a_docstring_lacks_is_found() -> None:
    def f(x: int, *rest: int) -> int:
        """Add numbers."""
        if x < 0:
            raise ValueError
        return x

    assert docstrings.lacks(f, f.__doc__) == ["Args: x", "Args: rest", "Returns", "Raises"]
    assert not docstrings.lacks(f, "The sum.\n\nArgs:\n    x, rest: numbers.\n\nRaises: ValueError.")
    assert docstrings.lacks(f, "") == ["a docstring"]


def test_examples_use_the_public_api() -> None:
    paths = [p.relative_to(ROOT).as_posix() for p in (ROOT / "examples").rglob("*.py")]
    reader = imports.Reader([*imports.sources(), *paths])
    used = [i for p in paths for i in reader.imports(p, (ROOT / p).read_text())]
    assert not [str(i) for i in used if i.other.startswith("tlean.") and "._" in i.other]


@pytest.mark.parametrize("absent", ["pycuda", "torch", "matplotlib", "sklearn", "safetensors", "tqdm", "scipy"])
def test_import_needs_numpy_alone(absent: str) -> None:
    program = f"import sys; import tlean; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("module", ["plan.calls", "plan.commit", "capi.table"])
def test_stubs_have_what_is_there(module: str) -> None:
    """Its functions and classes, and their members, are those of the module."""
    stub = ROOT / "tlean" / "_core" / f"{module.replace('.', '/')}.pyi"
    built = importlib.import_module(f"tlean._core.{module}")
    nodes = {n.name: n for n in ast.parse(stub.read_text()).body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    public = {n for n, v in vars(built).items() if getattr(v, "__module__", None) == built.__name__ and not n.startswith("_")}
    assert nodes.keys() <= vars(built).keys() and (module != "plan.commit" or public == nodes.keys())
    for name, node in nodes.items():
        for n in node.body if isinstance(node, ast.ClassDef) else ():
            member = n.name if isinstance(n, ast.FunctionDef) else ast.unparse(n.target) if isinstance(n, ast.AnnAssign) else "__init__"
            assert hasattr(getattr(built, name), member), (name, member)
