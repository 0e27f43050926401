"""docs/writing_an_op.md: its elementwise example, built in a copy of the tree from the page's text, is an op that passes every check."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tlean._core.table import ISA

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "writing_an_op.md").read_text()
#: (file, place, text) of every example.
BLOCKS = re.findall(r"^```\w+\n# (\S+), ([^\n]+)\n(.*?)^```$", PAGE, re.M | re.S)
CHECK = """
import numpy as np

import tlean as tl
from tlean.testing import check_op
from tools.codegen import faces

check_op("squareplus")
x = np.linspace(-3, 3, 7)
assert np.array_equal(tl.jit(lambda ops, x: ops.squareplus(x))(x).numpy(), (x + np.sqrt(x * x + 4)) / 2)
assert "squareplus" in {f.name for f in faces.faces()}
print(tl.__file__)
"""


def test_every_example_is_of_a_file_of_the_tree():
    assert {Path(name).suffix for name, _, _ in BLOCKS} == {".py", ".pyx"}
    assert [name for name, _, _ in BLOCKS if not (ROOT / name).exists()] == []


def test_the_elementwise_example(tmp_path):
    pytest.importorskip("Cython", reason="the build needs Cython")
    left_out = shutil.ignore_patterns("__pycache__", "*.c", *(f"isa_{other}" for other in ("base", "avx2", "avx512") if other != ISA))
    shutil.copytree(ROOT / "tlean", tmp_path / "tlean", ignore=left_out)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=left_out)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    section = PAGE.partition("## 1.")[2].partition("## 2.")[0]
    for name, place, text in BLOCKS:
        if text in section:
            before, mark, after = (tmp_path / name).read_text().partition(f"\n{place.removeprefix('before ')}")
            assert mark or place == "end"
            (tmp_path / name).write_text(f"{before}\n{text}{mark}{after}" if mark else before + text)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "TLEAN_ISA": ISA,
        "TLEAN_BUILD_ISA": ISA,
        "TLEAN_BUILD_ONLY": "elementwise,chain,eager",
    }
    for command in (["setup.py", "--quiet", "build_ext", "--inplace"], ["-c", CHECK]):
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "tlean" / "__init__.py")
