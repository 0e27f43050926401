"""Names of parameters: what they say of a parameter, and those of earlier versions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LAYER = re.compile(r"_l\d+(_reverse)?$")


def kind_of_name(path: str) -> str:
    """The last part of a path, without the number of a recurrent layer: `"0.weight_hh_l1_reverse"` is a `"weight_hh"`."""
    return _LAYER.sub("", path.rpartition(".")[2])


def renamed(model: Any, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same values, those of a file of an earlier version under the names of today.

    Args:
        model: a module.
        values: name → array.
    """
    names = {
        f"{path}.{old}" if path else old: f"{path}.{new}" if path else new
        for path, module in model.named_modules()
        for old, new in module.__tlean_renamed__.items()
    }
    return {names.get(name, name): value for name, value in values.items()} if names.keys() & values.keys() else values
