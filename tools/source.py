"""Reading source files: which ones there are, and their tokens, for the tools that measure them.

One lexer for Python and Cython, one for C, one for shell scripts; each knows comments, strings and words, and no grammar beyond that.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
PYTHON = (".py", ".pyx", ".pxd", ".pxi")
C = (".h", ".c")


@dataclass(frozen=True)
class Token:
    """A token: its kind ("name", "number", "string", "op"), text, first and last line, and whether a logical line begins with it."""

    kind: str
    text: str
    line: int
    last: int
    begins: bool = False


def tracked() -> list[str]:
    """The files that git tracks, by their paths from the root. Generated files are none of them."""
    return [p for p in _git("ls-files", "--cached").decode().splitlines() if (ROOT / p).is_file()]


def read(path: str) -> str:
    """The text of a file."""
    return (ROOT / path).read_text()


def texts_of(commit: str, folder: str) -> dict[str, str]:
    """Path -> text of the files of a folder at a commit; nothing is checked out."""
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit, folder))) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def language(path: str, text: str = "") -> str | None:
    """ "python" (Cython too), "c", "shell", or None for what is no code."""
    ending = PurePosixPath(path).suffix
    if ending in PYTHON:
        return "python"
    if ending in C:
        return "c"
    first = text.partition("\n")[0]
    return "shell" if not ending and first.startswith("#!") and "sh" in first else None


_WORDS = r"""
    (?P<number>(?:0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eEpP][+-]?\d+)?)[a-zA-Z]*)
  | (?P<name>[^\W\d]\w*)
  | (?P<space>[ \t\r\f]+|\\\n)
  | (?P<newline>\n)
  | (?P<op>\*\*=?|//=?|>>=?|<<=?|->|\+\+|--|&&|\|\||::|\.\.\.|[-+*/%@&|^=<>!:~]=|.)
"""
_PYTHON = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<string>(?:[rRbBuUfFcC]{1,2})?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
  |"""
    + _WORDS,
    re.VERBOSE | re.DOTALL,
)
_C = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
  |"""
    + _WORDS,
    re.VERBOSE | re.DOTALL,
)
_SHELL = re.compile(
    r"""
    (?P<comment>(?:(?<=\s)|^)\#[^\n]*)
  | (?P<string>"(?:\\.|[^"\\])*"|'[^']*')
  |"""
    + _WORDS,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_LEXERS = {"python": _PYTHON, "c": _C, "shell": _SHELL}


def tokens(text: str, kind: str) -> Iterator[Token]:
    """The tokens of a file of that language without comments, white space and docstrings.

    A docstring is a string that is a statement by itself.
    """
    line, depth = 1, 0
    #: Whether a logical line begins here; and a string at its beginning, which is a docstring if nothing follows.
    begins, held = True, None
    for match in _LEXERS[kind].finditer(text):
        group, part = match.lastgroup or "op", match.group()
        last = line + part.count("\n")
        if group == "newline":
            if depth == 0:
                begins, held = True, None
        elif group not in ("space", "comment"):
            token = Token(group, part, line, last, begins)
            if held is not None:
                yield held
                held = None
            if kind == "python" and begins and depth == 0 and group == "string":
                held = token
            else:
                depth += (part in "([{") - (part in ")]}") if group == "op" else 0
                yield token
            begins = False
        line = last


def code_lines(text: str, kind: str) -> set[int]:
    """The numbers of the lines that hold code: no blank ones, comments or docstrings. Lines of other strings count, unless blank."""
    rows = text.split("\n")
    return {n for t in tokens(text, kind) for n in range(t.line, t.last + 1) if rows[n - 1].strip()}


def logical_lines(text: str) -> Iterator[list[Token]]:
    """The tokens of a Python or Cython file, a list for each logical line."""
    row: list[Token] = []
    for t in tokens(text, "python"):
        if t.begins and row:
            yield row
            row = []
        row.append(t)
    if row:
        yield row


def indent_of(text: str, line: int) -> int:
    """How far a line is indented."""
    row = text.split("\n", line)[line - 1]
    return len(row) - len(row.lstrip())
