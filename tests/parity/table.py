"""The table of docs/pytorch_ops.md: each entry of PyTorch's database, and what tlean has for it."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch

from .adapters import ADAPTERS, MODULES
from .adapters.names import NAMES
from .exceptions import BOUNDS, FLOATS
from .job import Outcome
from .reasons import reason

_HEADER = """# PyTorch's operators

Written by `python -m tests.parity --all --write docs/pytorch_ops.md` from PyTorch {version}'s own database, `op_db` of
`torch.testing._internal.common_methods_invocations`. {counted} of its {total} entries have a counterpart of which every sample agrees,
{samples} samples in all. A sample is run eagerly and compiled, with equal bits, and compared in float64 to 1e-10: its value, and where
it has derivatives a VJP with a random cotangent and a JVP in a random direction. Samples of integers, Booleans and mixed dtypes are
compared by value.

* **tlean**: the op, or the expression, that was compared; `x`, `a`, `b` are the arrays, other names are PyTorch's arguments. "several
  ops" are a few lines in `tests/parity/adapters/`.
* **samples**: how many agree, and after a plus sign how many were left out because they use what tlean's contract has not; the next
  column says what, and where answers differ on purpose.
"""


def _expressions(module: ModuleType) -> dict[str, str]:
    # Entry -> the text of its adapter, where that is a lambda or a function of one statement that is an expression of `tl`.
    tree = ast.parse(Path(inspect.getfile(module)).read_text())
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    texts = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and ast.unparse(node.targets[0]) == "ADAPTERS":
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant):
                    texts[str(key.value)] = _expression(value, functions)
    return texts


def _expression(value: ast.expr, functions: dict[str, ast.FunctionDef]) -> str:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.args:
        first = value.args[0]
        if isinstance(first, ast.Attribute | ast.Name | ast.Lambda):
            return _expression(first, functions)
    if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "tl":
        return f"`tl.{value.attr}`"
    body = value.body if isinstance(value, ast.Lambda) else None
    if isinstance(value, ast.Name) and value.id in functions:
        statements = functions[value.id].body
        body = statements[0].value if len(statements) == 1 and isinstance(statements[0], ast.Return) else None
    if body is None:
        return "several ops"
    text = ast.unparse(body)
    return f"`{text}`" if len(text) <= 110 and " _" not in f" {text}".replace("(_", " _") else "several ops"


def spellings() -> dict[str, str]:
    """Entry -> what tlean has for it, as text."""
    texts = {name: f"`tl.{ours}`" for name, ours in NAMES.items()}
    for module in MODULES:
        if module is not importlib.import_module(".adapters.names", __package__):
            texts |= _expressions(module)
    return texts


def _notes(o: Outcome) -> str:
    notes = [*o.skipped, *([FLOATS[o.name]] if o.name in FLOATS else []), *([BOUNDS[o.name][1]] if o.name in BOUNDS else [])]
    notes += [note] if (note := getattr(ADAPTERS.get(o.name), "note", "")) else []
    return "; ".join(sorted(set(notes)))


def _absence(o: Outcome) -> str:
    if o.waiting:
        return "; ".join(sorted(o.waiting))
    return f"every sample is left out: {_notes(o)}" if o.counterpart else reason(o.name)


def text(outcomes: Sequence[Outcome]) -> str:
    """The text of docs/pytorch_ops.md. Raises: ValueError where an outcome has failures."""
    failed = [o.name for o in outcomes if o.failures]
    if failed:
        raise ValueError(f"samples fail of {', '.join(failed)}")
    counted = [o for o in outcomes if o.counts]
    texts = spellings()
    version = torch.__version__.partition("+")[0]
    lines = [_HEADER.format(version=version, counted=len(counted), total=len(outcomes), samples=sum(o.passed for o in counted))]
    lines += ["## With a counterpart", "", "| PyTorch | tlean | samples | what is left out or differs |", "|---|---|---|---|"]
    for o in counted:
        skipped = sum(o.skipped.values())
        number = f"{o.passed} + {skipped}" if skipped else str(o.passed)
        cells = f"`{o.name}`", texts.get(o.name, "several ops"), number, _notes(o)
        lines.append(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in cells)} |")
    lines += ["", "## Without one", "", "| PyTorch | why |", "|---|---|"]
    lines += [f"| `{o.name}` | {_absence(o)} |" for o in outcomes if not o.counts]
    return "\n".join(lines) + "\n"
