"""A copy of the repository in which one module differs, so that tests and their child processes see the fault."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from .mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
#: What tests read: the package with its built modules, the tests, and what is around them.
_SHARED = ("pyproject.toml", "setup.py", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "MANIFEST.in", "LICENSE")
_FOLDERS = ("tlean", "tests")
_WHOLE = ("docs", "examples", "benchmarks", "tools", ".ci")


class Overlay:
    """The copy, in a separate folder. Its byte code is its own too, and kept from one mutant to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in (*_SHARED, *_WHOLE):
            if (ROOT / name).exists():
                (folder / name).symlink_to(ROOT / name)
        for name in _FOLDERS:
            for at, folders, files in os.walk(ROOT / name):
                folders[:] = [f for f in folders if f != "__pycache__"]
                mine = folder / Path(at).relative_to(ROOT)
                mine.mkdir(parents=True)
                for f in files:
                    # Sources are copied, since they may still be edited; what the build made is linked.
                    if f.endswith((".py", ".pyi")):
                        shutil.copy2(Path(at) / f, mine / f)
                    else:
                        (mine / f).symlink_to(Path(at) / f)

    def put(self, mutant: Mutant) -> None:
        """Put the mutant in place of its module."""
        self._write(mutant.file, mutant.source)

    def restore(self, mutant: Mutant) -> None:
        """Let the module be itself again."""
        self._write(mutant.file, mutant.original)

    def _write(self, file: str, source: str) -> None:
        # Byte code is matched with its source by size and second, which two mutants may share.
        path = self.folder / file
        path.write_text(source)
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the copy."""
        shutil.rmtree(self.folder)
