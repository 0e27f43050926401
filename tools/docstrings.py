"""Finds functions for users whose docstrings leave out arguments, results or errors. Fails if there are any in a finished module.

    python tools/docstrings.py                # the places, module by module; `OPEN` lists the modules that are not finished
    python tools/docstrings.py tlean.nn       # those of modules whose names begin so

Functions for users are the public names of `tlean` and of its public packages, and the public methods of the classes among them, with
`__init__` (described by the class or by itself) and `__call__`. The rules:

- it has a docstring;
- every parameter is described under `Args:`, alone (`name: ...`) or with others (`a, b: ...`), there or in the method that it overrides;
- a function whose return type is not None says what it returns: under `Returns:`, as `returns ...`, or with its first words ("The gradients
  ...", "Whether ...", but not "Make ...");
- a function that raises has `Raises:`. What it calls may raise more; that is not followed.

A property has a docstring and nothing more. `name` of an op is described once, in `tlean/ops/protocol/__init__.py`.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from source import ROOT

#: The packages and modules whose public names are for users.
PUBLIC = (
    "tlean",
    "tlean.backends",
    "tlean.cuda",
    "tlean.data",
    "tlean.mcmc",
    "tlean.nn",
    "tlean.optim",
    "tlean.scipy",
    "tlean.solvers",
    "tlean.sparse",
    "tlean.testing",
    "tlean.train",
    "tlean.train.tapem",
)
#: Modules whose docstrings are not finished yet; this list only shrinks.
OPEN: tuple[str, ...] = ()

#: First words of a docstring that says what is done, not what comes of it.
_VERBS = re.compile(
    r"(?:Add|Append|Apply|Build|Change|Clip|Compile|Compute|Draw|Make|Note|Open|Put|Read|Record|Remove|Replace|Run|Set|Start|Step|Take"
    r"|Write)s? "
)


def functions() -> Iterator[tuple[str, str, Callable[..., Any] | property, str]]:
    """(module, name, function, docstring that describes it) of every function for users, once."""
    sys.path.insert(0, str(ROOT))
    seen: set[int] = set()
    for package in map(importlib.import_module, PUBLIC):
        for name in getattr(package, "__all__", [n for n in vars(package) if not n.startswith("_")]):
            entry = inspect.unwrap(getattr(package, name)) if callable(getattr(package, name)) else getattr(package, name)
            module = getattr(entry, "__module__", None) or ""
            if id(entry) in seen or not module.startswith("tlean.") or "_generated" in module or module == "tlean.functions":
                continue
            seen.add(id(entry))
            if inspect.isfunction(entry):
                yield module, name, entry, entry.__doc__ or ""
            elif inspect.isclass(entry):
                yield from _methods(entry, seen)


def _methods(kind: type, seen: set[int]) -> Iterator[tuple[str, str, Callable[..., Any] | property, str]]:
    for base in kind.__mro__:
        if (
            base.__name__.startswith("_")
            or not base.__module__.startswith("tlean.")
            or "_generated" in base.__module__
            or "_core" in base.__module__
        ):
            continue
        for name, entry in vars(base).items():
            function = entry.fget if isinstance(entry, property) else getattr(entry, "__func__", entry)
            if not inspect.isfunction(function) or id(function) in seen or function.__module__ != base.__module__:
                continue
            if name.startswith("_") and name not in ("__init__", "__call__"):
                continue
            if not function.__code__.co_filename.startswith(str(ROOT)):
                continue
            seen.add(id(function))
            own = function.__doc__ or ""
            inherited = [getattr(b, name, None) for b in base.__mro__[1:-1]] if name != "__init__" else base.__mro__[:-1]
            own += "".join(f"\n{b.__doc__}" for b in inherited if getattr(b, "__doc__", None))
            yield base.__module__, f"{base.__name__}.{name}", entry if isinstance(entry, property) else function, own


def lacks(function: Callable[..., Any] | property, doc: str) -> list[str]:
    """What the docstring of a function leaves out."""
    if not doc.strip():
        return ["a docstring"]
    if isinstance(function, property):
        return []
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
    parts = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs, tree.args.vararg, tree.args.kwarg]
    implied = {"self", "cls", *(["name"] if function.__module__.startswith("tlean.ops.protocol") else [])}
    names = [a.arg for a in parts if a is not None and a.arg not in implied and not a.arg.startswith("_")]
    rows = (row for block in doc.split("Args:")[1:] for row in re.findall(r"^\s*((?:[*`\w]+(?:, )?)+):", block, re.MULTILINE))
    described = {name for row in rows for name in re.findall(r"\w+", row)}
    wrong = [f"Args: {n}" for n in names if n not in described]
    returns = ast.unparse(tree.returns) if tree.returns is not None else "None"
    first = inspect.cleandoc(doc)
    if returns not in ("None", "NoReturn") and not re.search(r"\b[Rr]eturns\b", doc) and _VERBS.match(first):
        wrong.append("Returns")
    own = [n for n in ast.walk(tree) if isinstance(n, ast.Raise) and n.exc is not None and "NotImplementedError" not in ast.unparse(n)]
    if own and "Raises" not in doc and "Raise " not in doc:
        wrong.append("Raises")
    return wrong


def wrong_docstrings(modules: str = "") -> dict[str, list[str]]:
    """Module -> what its functions for users leave out."""
    wrong: dict[str, list[str]] = {}
    for module, name, function, doc in functions():
        if module.startswith(modules) and (missing := lacks(function, doc)):
            wrong.setdefault(module, []).append(f"{name}: {', '.join(missing)}")
    return dict(sorted(wrong.items()))


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns: 1 where a finished module leaves something out, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="?", default="", help="only modules whose names begin so")
    wrong = wrong_docstrings(parser.parse_args(argv).modules)
    for module, rows in wrong.items():
        print(f"{module}{' (open)' if module in OPEN else ''}", *(f"    {r}" for r in rows), sep="\n")
    total = sum(map(len, wrong.values()))
    finished = sum(len(rows) for module, rows in wrong.items() if module not in OPEN)
    print(f"{total} functions for users of {sum(1 for _ in functions())} leave something out, {finished} of them in finished modules")
    return int(bool(finished))


if __name__ == "__main__":
    sys.exit(main())
