"""What an op is. Knows no device, no interpreter and no array library; importing it registers every op."""

import importlib
from collections.abc import Callable
from typing import Any

from .registry import FLOAT, OpDef, Spec, all_ops, composite, composites, defop, get, several

_FAMILIES = (
    "elementwise", "logic", "formulas.numbers", "formulas.elementary", "formulas.activation", "formulas.special", "integers", "creation",
    "layout", "rows", "indexing", "reduce", "linalg", "conv", "pool", "softmax", "statistics", "norm", "attention", "loss", "random",
    "optim", "composite", "arranging", "losses", "windows", "heads", "distributions", "incomplete", "matrices", "fourier", "images",
    "numeric", "recurrent", "batching",
)  # fmt: skip
for _family in _FAMILIES:
    importlib.import_module(f".{_family}", __name__)

from .statistics.forms import FORMS, is_axis  # noqa: E402 - a form is of records that are declared by now

#: The records of the library itself, which its compiled part knows.
LIBRARY = tuple(all_ops())


def forms() -> dict[str, Callable[..., Any]]:
    """Name -> function, for the further forms of records (`statistics.forms`)."""
    return {name: form.function for name, form in FORMS.items()}


__all__ = ["FLOAT", "LIBRARY", "OpDef", "Spec", "all_ops", "composite", "composites", "defop", "forms", "get", "is_axis", "several"]
