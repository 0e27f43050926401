"""The README's programs run, in order, and print what it says they print."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", README.read_text(), re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def names() -> dict[str, object]:
    """What the programs share: they are one session at the prompt."""
    return {}


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_block(block: int, names: dict[str, object]) -> None:
    program, expected = BLOCKS[block]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, f"README.md, program {block + 1}", "exec"), names)
    found = printed.getvalue()
    # The words exactly; the numbers to 2 %: an instruction set may round another way.
    assert NUMBER.sub("#", found) == NUMBER.sub("#", expected)
    assert [float(n) for n in NUMBER.findall(found)] == pytest.approx([float(n) for n in NUMBER.findall(expected)], rel=0.02, abs=0.002)
