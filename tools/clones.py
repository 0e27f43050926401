"""Places of the source that share many lines: the same, or of one shape. Fails if there are any.

    python tools/clones.py            # places of one shape; the same text is of one shape too
    python tools/clones.py --exact    # places with the same text
    python tools/clones.py --pairs    # how many groups each pair of files has

What counts as a line: a physical line with code on it. Blank lines, comments and docstrings do not count, nor do imports (`include` and
`#include` too) and lines that hold brackets and punctuation alone: they neither make a place longer nor end it. The lines of a string that
spans several (a kernel's source) count. Of successive lines of one shape, a table, the first alone counts.

Two lines are the same if their tokens are, whatever the white space. Two lines are of one shape if the tokens are after every name, number
and string has become its kind: keywords, operators and brackets stay, types of C are names.

What is looked at: Python, Cython and C sources, headers and shell scripts that git tracks. Tests are not, nor `tlean/ops/protocol` (the
signatures of the ops), declarations (`.pxd`, `.pyi`) and `conf` files; generated files are not tracked.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass

from source import C, Token, language, read, tokens, tracked

#: From this many lines on a place counts.
LEAST = 12
#: What is not looked at: tests, the signatures of the ops, declarations.
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
    """Whether a file is looked at."""
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
    """The lines of all files that are looked at, file after file."""
    lines: list[Line] = []
    for path in tracked():
        if is_covered(path) and (path.endswith((".py", ".pyx", ".pxi", *C)) or "." not in path.rpartition("/")[2]):
            lines += lines_of(path, read(path), exact)
    return lines


# Groups -------------------------------------------------------------------------------------------------------------------


def pairs(lines: list[Line], least: int) -> list[tuple[int, int, int]]:
    """(start, start, length) of every two places that cannot be made longer at their ends and that do not overlap."""
    windows: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i in range(len(lines) - least + 1):
        if lines[i].path == lines[i + least - 1].path:
            windows[tuple(line.form for line in lines[i : i + least])].append(i)
    #: Distance of two places -> where the latest pair of that distance ends: what begins before is a part of it.
    done: dict[int, int] = {}
    found: list[tuple[int, int, int]] = []
    for a, b in sorted((a, b) for at in windows.values() for n, a in enumerate(at) for b in at[n + 1 :]):
        if a >= done.get(b - a, 0):
            size = _shared(lines, a, b)
            done[b - a] = a + size
            if size >= least:
                found.append((a, b, size))
    return found


def _shared(lines: list[Line], a: int, b: int) -> int:
    # How many lines the places that begin at a < b share without meeting.
    size = 0
    while a + size < b and b + size < len(lines):
        x, y = lines[a + size], lines[b + size]
        if x.form != y.form or x.path != lines[a].path or y.path != lines[b].path:
            break
        size += 1
    return size


def groups(lines: list[Line], least: int) -> list[Group]:
    """Groups of places, the largest first; what lies within the places of a larger group is not said again."""
    same: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for a, b, size in pairs(lines, least):
        same[tuple(line.form for line in lines[a : a + size])] |= {a, b}
    found: list[Group] = []
    #: For each group that was found the indices of its lines.
    covered: list[set[int]] = []
    for form, starts in sorted(same.items(), key=lambda e: (-len(e[0]), -len(e[1]), min(e[1]))):
        inner = {s + k for s in starts for k in (0, len(form) - 1)}
        if any(inner <= c for c in covered):
            continue
        covered.append({s + k for s in starts for k in range(len(form))})
        places = tuple(Place(lines[s].path, lines[s].number, lines[s + len(form) - 1].number) for s in sorted(starts))
        found.append(Group(len(form), places))
    return found


def by_pair(found: list[Group]) -> Counter[tuple[str, str]]:
    """Pair of files -> lines that they share, each group once."""
    count: Counter[tuple[str, str]] = Counter()
    for group in found:
        first = group.places[0].path
        for other in dict.fromkeys(p.path for p in group.places[1:]):
            count[first, other] += group.size
    return count


def main(given: list[str] | None = None) -> int:
    """Run the command line. Returns: 1 where places share lines, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--shape", action="store_true", help="places of one shape (the default)")
    mode.add_argument("--exact", action="store_true", help="places with the same text")
    parser.add_argument("--lines", type=int, default=LEAST, help=f"from so many lines on ({LEAST})")
    parser.add_argument("--pairs", action="store_true", help="groups and lines by pair of files")
    parser.add_argument("--only", default="", help="groups with a file whose path contains this")
    arguments = parser.parse_args(given)
    lines = every_line(arguments.exact)
    found = [g for g in groups(lines, arguments.lines) if any(arguments.only in p.path for p in g.places)]
    if arguments.pairs:
        for (a, b), size in by_pair(found).most_common():
            print(f"{size:5} lines  {a}  {b if a != b else '(itself)'}")
    else:
        print("\n".join(map(str, found)))
    text = "the same" if arguments.exact else "of one shape"
    print(f"{len(found)} groups of places share {arguments.lines} lines or more, {text}; {len(lines)} lines looked at")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
