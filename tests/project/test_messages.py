"""Error messages are plain ASCII, since a stream may take nothing else, and state what must hold before what they got.

Docstrings, tables and drawings may hold what they like.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "tlean"
PYTHON = sorted(p for p in PACKAGE.rglob("*.py") if not {"__pycache__", "_generated"} & set(p.parts))
CYTHON = sorted(p for ending in ("*.pyx", "*.pxi") for p in PACKAGE.rglob(ending) if "_generated" not in p.parts)


def texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of every string that an expression or a function holds, docstrings left out."""
    scopes = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Module)]
    documentation = {n.value for scope in scopes for n in scope.body if isinstance(n, ast.Expr)}
    for n in ast.walk(node):
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and n not in documentation:
            yield n.lineno, n.value


def is_error(node: ast.AST) -> bool:
    """Whether a node raises, or makes an error that is raised elsewhere."""
    if isinstance(node, ast.Raise):
        return True
    called = node.func if isinstance(node, ast.Call) else None
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
    return name.endswith("Error")


def names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def in_python(text: str) -> set[tuple[int, str]]:
    """(line, text) of what messages are made of: the strings of errors, of the variables in them and of the functions that they call."""
    module = ast.parse(text)
    functions = {n.name: n for n in ast.walk(module) if isinstance(n, ast.FunctionDef)}
    found: set[tuple[int, str]] = set()
    for scope in [module, *functions.values()]:
        errors = [n for n in ast.walk(scope) if is_error(n)]
        used = {name for e in errors for name in names(e)}
        parts: list[ast.AST] = [*errors, *(functions[name] for name in used & functions.keys())]
        for n in ast.walk(scope):
            if isinstance(n, ast.Assign | ast.AnnAssign | ast.NamedExpr) and n.value is not None:
                targets = n.targets if isinstance(n, ast.Assign) else [n.target]
                # Of a scope's own variables alone: the module's are seen with the module.
                if scope is not module and any(isinstance(t, ast.Name) and t.id in used for t in targets):
                    parts.append(n.value)
        for part in parts:
            found.update(texts(part))
    return found


def in_cython(text: str) -> set[tuple[int, str]]:
    """(line, text) of each call of `raise_error` and each `raise`, up to the bracket that ends it."""
    found = set()
    for word in ("raise_error(", "raise "):
        at = text.find(word)
        while at >= 0:
            end, depth = at, 0
            while end < len(text) and (depth or text[end] != "\n"):
                depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[end], 0)
                end += 1
            found.add((text.count("\n", 0, at) + 1, text[at:end].partition("  #")[0]))
            at = text.find(word, at + 1)
    return found


@pytest.mark.parametrize("which", ["python", "cython"])
def test_messages_are_ascii(which: str) -> None:
    paths, read = (PYTHON, in_python) if which == "python" else (CYTHON, in_cython)
    seen, wrong = 0, []
    for path in paths:
        for line, text in sorted(read(path.read_text(encoding="utf-8"))):
            seen += 1
            if not text.isascii():
                wrong.append(f"{path.relative_to(PACKAGE.parent)}:{line}: {text}")
    assert seen > (1000 if which == "python" else 100)
    assert not wrong, "\n".join(wrong)


#: What a message says before "got" states a requirement, or a fact that is one.
FACT = re.compile(r" (is|are|has|have) ")
REQUIREMENT = re.compile(r"\bmust\b|expected|needed|required|declared|out of range|another ")


def templates(which: str, text: str) -> Iterator[tuple[int, str]]:
    """(line, message with {} for what it fills in) of every error."""
    if which == "cython":
        yield from ((line, re.sub(r"\{[^{}]*\}", "{}", message)) for line, message in in_cython(text))
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and is_error(node) and node.args and isinstance(node.args[0], ast.JoinedStr | ast.Constant):
            parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
            yield node.lineno, "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts)


def states_a_requirement(message: str) -> bool:
    """Whether what comes before "got" says what must hold."""
    before, got, _ = re.sub(r"; got\b", ", got", message).partition(", got")
    return not got or not FACT.search(before) or bool(REQUIREMENT.search(before))


@pytest.mark.parametrize("which", ["python", "cython"])
def test_the_requirement_comes_first(which: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line}: {message}"
        for path in (PYTHON if which == "python" else CYTHON)
        for line, message in templates(which, path.read_text(encoding="utf-8"))
        if not states_a_requirement(message)
    ]
    assert not wrong, "say what must hold, then what it got:\n" + "\n".join(wrong)


def test_a_fact_is_no_requirement() -> None:
    assert [m for _, m in templates("python", 'ShapeError(f"p: {n} is an int, got {x!r}")')] == ["p: {} is an int, got {}"]
    assert not states_a_requirement("p: {} is an int, got {}")
    assert states_a_requirement("p: {} must be an int, got {}") and states_a_requirement("p: a Param is expected, got {}")
    assert states_a_requirement("p: the file is damaged") and states_a_requirement("p: one value for each parameter, got 3")


def test_the_check_itself() -> None:
    for text in (
        'raise ValueError(f"at most 2⁴⁸, not {n}")',
        'def f():\n    what = "≥ 1" if x else ""\n    raise ShapeError(f"a size is {what}")',
        'def short(t):\n    """A text."""\n    return t + "…"\ndef f():\n    raise DataError(short(text))',
        'def f():\n    return ShapeError("−inf")',
    ):
        assert any(not t.isascii() for _, t in in_python(text)), text
    for text in ('def f():\n    """√x."""\n    raise ValueError("no")', 'def f():\n    """…"""\ndef g():\n    raise E(f)', 'print("→")'):
        assert all(t.isascii() for _, t in in_python(text)), text
    assert any(not t.isascii() for _, t in in_cython('    raise_error("ShapeError", f"x[{k}]"\n        " 2³⁰")\n'))
    assert all(t.isascii() for _, t in in_cython('    raise_error("ShapeError", "x")\n    # ≥\n'))
