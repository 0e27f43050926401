"""What an op is. Knows no device, no interpreter and no array library; importing it registers every op."""

import importlib

from .registry import FLOAT, OpDef, Spec, all_ops, composite, composites, defop, get, several

_FAMILIES = (
    "elementwise", "formulas.numbers", "formulas.elementary", "formulas.activation", "formulas.special",
    "layout", "rows", "indexing", "reduce", "linalg", "conv", "pool", "softmax", "norm", "attention", "loss", "random",
    "optim", "composite",
)  # fmt: skip
for _family in _FAMILIES:
    importlib.import_module(f".{_family}", __name__)

__all__ = ["FLOAT", "OpDef", "Spec", "all_ops", "composite", "composites", "defop", "get", "several"]
