"""How losses are put together: each, their mean or their sum; and the numbers that they take as options."""

from __future__ import annotations

import math
from typing import Any

from ...errors import OptionError
from ..loss import reduction_name


def reduced(ops: Any, losses: Any, reduction: Any, name: str | None) -> Any:
    """The losses reduced; without reduction they are themselves, under a name. Raises: OptionError."""
    how = reduction_name(reduction)
    if how == "none":
        return losses if name is None else ops.reshape(losses, tuple(losses.shape), name=name)
    return ops.sum(losses, name=name) if how == "sum" else ops.mean(losses, name=name)


def number(option: str, value: Any, least: float = -math.inf) -> float:
    """An option as a number, at least so large. Raises: OptionError."""
    requirement = f"{option} must be a number" + (f" of at least {least:g}" if least > -math.inf else "")
    try:
        found = float(value) if not isinstance(value, str | bytes) else math.nan
    except (TypeError, ValueError):
        raise OptionError(requirement) from None
    if not found >= least:
        raise OptionError(requirement)
    return found
