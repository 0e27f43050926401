"""How large folders, files and functions are."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from source import C, Token, indent_of, language, logical_lines, read, tokens, tracked

MOST_FILES, MOST_LINES, MOST_FUNCTION = 20, 500, 80
#: What has these sizes.
SIZED = ("tlean/", "tests/", "tools/", "benchmarks/", "examples/", ".ci/", "setup.py")


def functions(path: str, text: str) -> Iterator[tuple[str, int, int]]:
    """(name, first line, number of lines) of every function of a file."""
    kind = language(path, text)
    if path.endswith(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1
    elif kind == "python":
        yield from _cython_functions(text)
    elif kind == "c":
        yield from _c_functions(text)


def _cython_functions(text: str) -> Iterator[tuple[str, int, int]]:
    rows = [(r, indent_of(text, r[0].line)) for r in logical_lines(text)]
    for k, (row, indent) in enumerate(rows):
        words = [t.text for t in row]
        if words[0] not in ("def", "cdef", "cpdef") or "(" not in words or words[-1] != ":" or words[1] in ("class", "extern"):
            continue
        last = row[-1].last
        for other, deeper in rows[k + 1 :]:
            if deeper <= indent:
                break
            last = other[-1].last
        yield words[words.index("(") - 1], row[0].line, last - row[0].line + 1


def _c_functions(text: str) -> Iterator[tuple[str, int, int]]:
    # A block in braces outside all others that follows a parameter list. Lines of the preprocessor are none of it.
    text = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: "\n" * m.group().count("\n"), text, flags=re.MULTILINE)
    depth, statement = 0, list[Token]()
    name, first, function = "", 0, False
    for t in tokens(text, "c"):
        if depth == 0 and t.text in ("{", ";", "}"):
            words = [s.text for s in statement]
            function = t.text == "{" and bool(words) and words[-1] == ")" and "(" in words
            if function:
                name, first = words[words.index("(") - 1], statement[0].line
            statement = []
        elif depth == 0:
            statement.append(t)
        depth += (t.text == "{") - (t.text == "}")
        if depth == 0 and t.text == "}" and function:
            yield name, first, t.line - first + 1
            function = False


def wrong_sizes() -> list[str]:
    """Folders, files and functions that are too large, the largest first."""
    folders: Counter[str] = Counter()
    files: list[tuple[int, str]] = []
    long: list[tuple[int, str]] = []
    for path in tracked():
        if not path.startswith(SIZED) or not path.endswith((".py", ".pyx", ".pxd", ".pxi", ".cpp", *C)):
            continue
        text = read(path)
        folders[path.rpartition("/")[0]] += 1
        files.append((text.count("\n"), path))
        long += [(size, f"{path}:{line} {name}") for name, line, size in functions(path, text)]
    wrong = [f"{number} files: {folder}/" for folder, number in folders.most_common() if number > MOST_FILES]
    wrong += [f"{size} lines: {path}" for size, path in sorted(files, reverse=True) if size > MOST_LINES]
    return wrong + [f"function of {size} lines: {where}" for size, where in sorted(long, reverse=True) if size > MOST_FUNCTION]
