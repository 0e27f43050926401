"""Code generation at build time: run by setup.py, before anything is compiled; writes git-ignored files only.

Loads `tlean.ops` without running `tlean/__init__.py` (which needs the compiled core), then asks each generator for its files.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path


def load_ops(root: Path) -> types.ModuleType:
    """Import `tlean.ops` under a stand-in for the `tlean` package, so that nothing compiled is needed."""
    if "tlean" not in sys.modules:
        package = types.ModuleType("tlean")
        package.__path__ = [str(root / "tlean")]
        sys.modules["tlean"] = package
    return importlib.import_module("tlean.ops")


def write_if_changed(path: Path, text: str) -> None:
    """Write a generated file, leaving its time stamp alone when nothing changed (so that nothing is compiled again)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main(root: Path) -> None:
    """Write every generated file."""
    load_ops(root)
    for name in (
        "tools.codegen.kernels",
        "tools.codegen.integers",
        "tools.codegen.chain_steps",
        "tools.codegen.faces",
        "tools.codegen.stubs",
    ):
        if (root / (name.replace(".", "/") + ".py")).exists():
            for path, text in importlib.import_module(name).files().items():
                write_if_changed(root / path, text)
