"""Lines of code of `tlean/` by room: without blank lines, comments and docstrings, in the files that git tracks (generated ones are not).

    python tools/lines.py                     # the working tree
    python tools/lines.py --against COMMIT    # the figures of that commit beside, read from git; nothing is checked out

A room is a package or a module right under `tlean/`; `_core` is split by its folders. Python, Cython and C headers count, type stubs do
not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import PurePosixPath

from source import code_lines, language, read, texts_of, tracked

ENDINGS = (".py", ".pyx", ".pxd", ".pxi", ".h")


def room(path: str) -> str:
    """The room of a file: "ops", "tree", "_core/plan", "_core/kernels/conv"."""
    parts = PurePosixPath(path).with_suffix("").parts[1:]
    if parts[0] == "_core":
        return "/".join(parts[:-1])
    return parts[0]


def count(commit: str | None = None) -> tuple[Counter[str], Counter[str]]:
    """(lines, files) by room, in the working tree or at a commit."""
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    if commit is None:
        texts = {p: read(p) for p in tracked() if p.startswith("tlean/") and p.endswith(ENDINGS)}
    else:
        texts = texts_of(commit, "tlean")
    for path, text in texts.items():
        if path.endswith(ENDINGS):
            lines[room(path)] += len(code_lines(text, language(path) or ""))
            files[room(path)] += 1
    return lines, files


def table(new: tuple[Counter[str], Counter[str]], old: tuple[Counter[str], Counter[str]] | None, commit: str = "") -> str:
    """The figures as text: rooms in the order of their names, `_core` last, and the total."""
    rooms = sorted({*new[0], *(old[0] if old else ())}, key=lambda r: (r.startswith("_core"), r))
    width = max(map(len, rooms))
    head = f"{'room':{width}} {'files':>6} {'lines':>7}"
    rows = [head + (f"   at {commit[:12]:12}: {'files':>6} {'lines':>7} {'change':>7}" if old else "")]

    def row(name: str, chosen: list[str]) -> str:
        files, lines = (sum(c[r] for r in chosen) for c in (new[1], new[0]))
        text = f"{name:{width}} {files:6} {lines:7}"
        if old is None:
            return text
        number, before = (sum(c[r] for r in chosen) for c in (old[1], old[0]))
        return f"{text}   {'':16} {number:6} {before:7} {lines - before:+7}"

    rows += [row(r, [r]) for r in rooms]
    core = [r for r in rooms if r.startswith("_core")]
    rows += ["", row("_core, all", core), row("all but _core", [r for r in rooms if r not in core]), row("total", rooms)]
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns: 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="COMMIT", help="print the figures of this commit beside")
    commit = parser.parse_args(argv).against
    try:
        old = None if commit is None else count(commit)
    except subprocess.CalledProcessError as error:
        parser.error(f"git: {error.stderr.decode().strip()}")
    print(table(count(), old, commit or ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
