"""Run the Python blocks of a page in order, as one session, and compare what each prints with the text block after it.

    python tools/packaging/run_page.py docs/tutorial.md

It needs nothing but the standard library, and imports tlean from where the Python that runs it has it.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def same(printed: str, expected: str) -> bool:
    """Whether the words agree, and the numbers to 2 %: an instruction set may round another way."""
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(expected), strict=False)
    alike = NUMBER.sub("#", printed) == NUMBER.sub("#", expected)
    return alike and all(math.isclose(float(a), float(b), rel_tol=0.02, abs_tol=0.002) for a, b in pairs)


def run(page: Path) -> int:
    """Run the page's blocks; the number of them. Exits with the first that prints something else."""
    names: dict[str, object] = {"__name__": "page"}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    for index, (program, expected) in enumerate(blocks, 1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(program, f"{page.name}, block {index}", "exec"), names)
        if not same(printed.getvalue(), expected):
            raise SystemExit(f"{page.name}, block {index}: expected\n{expected}\ngot\n{printed.getvalue()}")
    return len(blocks)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(f"{argument}: {run(Path(argument))} blocks print what the page says")
