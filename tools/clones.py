"""Finds places of the source that share many lines: with the same text, or of one shape. Fails if there are any.

    python tools/clones.py            # places of one shape; this includes places with the same text
    python tools/clones.py --exact    # places with the same text
    python tools/clones.py --pairs    # the shared lines of each pair of files

A line is a physical line with code on it. Not counted are blank lines, comments, docstrings, imports (also `include` and `#include`) and
lines of brackets and punctuation alone: they neither lengthen a place nor end it. The lines of a multi-line string, such as the source of a
CUDA kernel, are counted. In a run of lines of one shape, which is a table, only the first is counted.

Two lines are the same if their tokens are equal; white space does not matter. Two lines have one shape if their tokens are equal after
every name, number and string has been replaced by its kind. Keywords, operators and brackets are kept; the types of C are names.

The files are the Python, Cython and C sources and the shell scripts that git tracks, so no generated ones. Tests, `tlean/ops/protocol`
(the signatures of the ops) and declarations (`.pxd`, `.pyi`) are left out.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass

from source import C, Token, language, read, tokens, tracked

#: The length from which a place counts.
LEAST = 12
#: What is left out: tests, the signatures of the ops, declarations.
OUTSIDE = ("tests/", "tlean/ops/protocol/")
DECLARATIONS = (".pxd", ".pyi")

KEYWORDS = {
    "python": {*keyword.kwlist, "cdef", "cpdef", "ctypedef", "cimport", "nogil", "noexcept", "gil", "include", "struct"},
    "c": {"if", "else", "for", "while", "do", "switch", "case", "break", "continue", "return", "struct", "enum", "typedef", "sizeof"},
    "shell": {"if", "then", "else", "elif", "fi", "for", "while", "do", "done", "case", "esac", "in", "function", "return", "exit"},
}
#: Lines that begin with these bring names in.
IMPORTS = {"import", "from", "cimport", "include"}


@dataclass(frozen=True)
class Line:
    """A line that counts: its file, its number and its normal form."""

    path: str
    number: int
    form: str


@dataclass(frozen=True)
class Place:
    """Lines of a file."""

    path: str
    first: int
    last: int


@dataclass(frozen=True)
class Group:
    """Places that share so many lines."""

    size: int
    places: tuple[Place, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.size} lines, {len(self.places)} places", *(f"    {p.path}:{p.first}-{p.last}" for p in self.places)])


# Lines --------------------------------------------------------------------------------------------------------------------


def is_covered(path: str) -> bool:
    """Whether a file is searched."""
    return not path.startswith(OUTSIDE) and not path.endswith(DECLARATIONS)


#: What a string begins and ends with.
_QUOTES = r"""^[a-zA-Z]*(\"{3}|'{3}|"|')|(\"{3}|'{3}|"|')$"""


def rows_of(text: str, kind: str) -> dict[int, list[Token]]:
    """The tokens of each line; those of a string over several lines as the C that it mostly is."""
    rows: dict[int, list[Token]] = defaultdict(list)
    for t in tokens(text, kind):
        if t.line == t.last:
            rows[t.line].append(t)
            continue
        for offset, part in enumerate(re.sub(_QUOTES, "", t.text).split("\n")):
            rows[t.line + offset] += tokens(part, "c")
    return rows


def lines_of(path: str, text: str, exact: bool) -> list[Line]:
    """The lines of a file that count."""
    kind = language(path, text)
    if kind is None:
        return []
    lines: list[Line] = []
    within_import, previous = False, ""
    depth = 0
    for number, row in sorted((n, r) for n, r in rows_of(text, kind).items() if r):
        if depth == 0:
            words = [t.text for t in row[:2]]
            within_import = words[0] in IMPORTS if kind == "python" else words == ["#", "include"]
        depth = max(0, depth + sum((t.text in "([{") - (t.text in ")]}") for t in row if t.kind == "op")) if kind == "python" else 0
        if within_import or all(t.kind == "op" for t in row):
            continue
        shape = " ".join(t.text if t.kind == "op" or t.text in KEYWORDS[kind] else t.kind for t in row)
        if shape != previous:
            lines.append(Line(path, number, " ".join(t.text for t in row) if exact else shape))
        previous = shape
    return lines


def every_line(exact: bool) -> list[Line]:
    """The counted lines of all files, file after file."""
    lines: list[Line] = []
    for path in tracked():
        if is_covered(path) and (path.endswith((".py", ".pyx", ".pxi", *C)) or "." not in path.rpartition("/")[2]):
            lines += lines_of(path, read(path), exact)
    return lines


# Groups -------------------------------------------------------------------------------------------------------------------


def pairs(lines: list[Line], least: int) -> list[tuple[int, int, int]]:
    """(start, start, length) of every two places that do not overlap and cannot be extended."""
    windows: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i in range(len(lines) - least + 1):
        if lines[i].path == lines[i + least - 1].path:
            windows[tuple(line.form for line in lines[i : i + least])].append(i)
    #: Distance between two places -> end of the latest pair at that distance; a pair that begins earlier is part of it.
    done: dict[int, int] = {}
    result: list[tuple[int, int, int]] = []
    for a, b in sorted((a, b) for at in windows.values() for n, a in enumerate(at) for b in at[n + 1 :]):
        if a >= done.get(b - a, 0):
            size = _shared(lines, a, b)
            done[b - a] = a + size
            if size >= least:
                result.append((a, b, size))
    return result


def _shared(lines: list[Line], a: int, b: int) -> int:
    # How many lines the places that begin at a < b share before the first reaches the second.
    size = 0
    while a + size < b and b + size < len(lines):
        x, y = lines[a + size], lines[b + size]
        if x.form != y.form or x.path != lines[a].path or y.path != lines[b].path:
            break
        size += 1
    return size


def groups(lines: list[Line], least: int) -> list[Group]:
    """Groups of places, the largest first. A group whose places all lie within those of a larger group is left out."""
    same: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for a, b, size in pairs(lines, least):
        same[tuple(line.form for line in lines[a : a + size])] |= {a, b}
    result: list[Group] = []
    #: For each group, the indices of its lines.
    covered: list[set[int]] = []
    for form, starts in sorted(same.items(), key=lambda e: (-len(e[0]), -len(e[1]), min(e[1]))):
        inner = {s + k for s in starts for k in (0, len(form) - 1)}
        if any(inner <= c for c in covered):
            continue
        covered.append({s + k for s in starts for k in range(len(form))})
        places = tuple(Place(lines[s].path, lines[s].number, lines[s + len(form) - 1].number) for s in sorted(starts))
        result.append(Group(len(form), places))
    return result


def by_pair(clones: list[Group]) -> Counter[tuple[str, str]]:
    """Pair of files -> lines that they share, each group once."""
    count: Counter[tuple[str, str]] = Counter()
    for group in clones:
        first = group.places[0].path
        for other in dict.fromkeys(p.path for p in group.places[1:]):
            count[first, other] += group.size
    return count


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns: 1 where places share lines, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--shape", action="store_true", help="places of one shape (the default)")
    mode.add_argument("--exact", action="store_true", help="places with the same text")
    parser.add_argument("--lines", type=int, default=LEAST, help=f"the length from which a place counts ({LEAST})")
    parser.add_argument("--pairs", action="store_true", help="print the shared lines of each pair of files")
    parser.add_argument("--only", default="", metavar="TEXT", help="only groups with a file whose path contains this")
    arguments = parser.parse_args(argv)
    lines = every_line(arguments.exact)
    clones = [g for g in groups(lines, arguments.lines) if any(arguments.only in p.path for p in g.places)]
    if arguments.pairs:
        for (a, b), size in by_pair(clones).most_common():
            print(f"{size:5} lines  {a}  {b if a != b else '(itself)'}")
    else:
        print("\n".join(map(str, clones)))
    text = "the same" if arguments.exact else "of one shape"
    print(f"{len(clones)} groups of places share {arguments.lines} lines or more, {text}; {len(lines)} lines searched")
    return int(bool(clones))


if __name__ == "__main__":
    sys.exit(main())
