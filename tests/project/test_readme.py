"""The programs of the README and of pages run, in order, and print what is said; figures of speed are those of the measurement."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
#: Pages whose programs do not run one after another here, with the reason.
APART = {
    "cuda.md": "needs a device",
    "writing_an_op.md": "its programs are parts of files; test_writing_an_op.py follows it",
}
PAGES = ("README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md") if p.name not in APART))
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
#: Packages that pages show tlean with, and that its tests do without.
GUESTS = ("torch", "onnx", "onnxruntime")
BLOCKS = [(page, k, *found) for page in PAGES for k, found in enumerate(BLOCK.findall((ROOT / page).read_text()))]
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def names() -> dict[str, dict[str, object]]:
    """What the programs of a page share: they are one session at the prompt."""
    return {page: {} for page in PAGES}


@pytest.mark.parametrize(("page", "block", "program", "expected"), BLOCKS, ids=[f"{page}-{k}" for page, k, _, _ in BLOCKS])
def test_block(page: str, block: int, program: str, expected: str, names: dict[str, dict[str, object]]) -> None:
    for guest in GUESTS:
        if f"import {guest}\n" in program:
            pytest.importorskip(guest, reason=f"the page shows tlean with {guest}")
    printed = io.StringIO()
    # A dataclass looks its module up.
    names[page].setdefault("__name__", __name__)
    with contextlib.redirect_stdout(printed):
        exec(compile(program, f"{page}, program {block + 1}", "exec"), names[page])
    found = printed.getvalue()
    # The words exactly; the numbers to 2 %: an instruction set may round another way.
    assert NUMBER.sub("#", found) == NUMBER.sub("#", expected)
    assert [float(n) for n in NUMBER.findall(found)] == pytest.approx([float(n) for n in NUMBER.findall(expected)], rel=0.02, abs=0.002)


def test_the_figures_of_speed_are_measured() -> None:
    """Every row of the table under "Speed" is one of benchmarks/RESULTS.md: tlean's time, PyTorch's, the ratio."""
    section = README.read_text().partition("\n## Speed\n")[2].partition("\n## ")[0]
    claimed = [[cell.strip() for cell in line.split("|")[2:5]] for line in section.splitlines() if line.startswith("| ")][1:]
    page = (README.parent / "benchmarks" / "RESULTS.md").read_text()
    measured = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("| ")]
    assert claimed
    for ours, theirs, ratio in claimed:
        # Side by side in a row, at any number of threads; the ratio has its interval behind it.
        found = any(
            row[k : k + 2] == [ours, theirs] and row[k + 2].split(" ")[0] == ratio for row in measured for k in range(3, len(row) - 2)
        )
        assert found, f"{ours}, {theirs}, {ratio}: not in benchmarks/RESULTS.md"
