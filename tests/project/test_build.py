"""The build: warnings are seen, and nothing is translated unless something is built."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """setup.py as a module."""
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("tlean_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_warning_is_hidden(build: ModuleType) -> None:
    for extension in build.extensions():
        assert "-Wall" in extension.extra_compile_args and "-w" not in extension.extra_compile_args


def test_what_newer_compilers_refuse_is_an_error(build: ModuleType) -> None:
    refused = {f"-Werror={name}" for name in ("incompatible-pointer-types", "int-conversion", "implicit-function-declaration")}
    assert all(refused <= set(extension.extra_compile_args) for extension in build.extensions())


def test_hot_modules_are_built_once_for_every_instruction_set(build: ModuleType) -> None:
    names = [extension.name for extension in build.extensions()]
    assert len(set(names)) == len(names)
    for name in (Path(path).name for path in build.HOT + build.HOT_CONTRACTED):
        assert {n for n in names if n.endswith(f".{name}")} == {f"tlean._core.isa_{isa}.{name}" for isa in build.instruction_sets()}


def test_asking_for_the_name_translates_nothing(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", reason="the build needs setuptools")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copytree(ROOT / "tlean", tmp_path / "tlean", ignore=shutil.ignore_patterns("*.so", "__pycache__", "_generated"))
    (tmp_path / "tlean" / "functions.py").unlink()
    done = subprocess.run([sys.executable, "setup.py", "--name"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "tlean"
    assert not (tmp_path / "build").exists()
