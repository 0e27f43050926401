"""Name of an entry -> what tlean has for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import creation, elementwise, images, indexing, layout, linear, losses, masked, matrices, names, networks, reductions

#: Those of `names` are taken over by what is written by hand.
MODULES = (names, elementwise, layout, reductions, linear, indexing, creation, networks, losses, masked, matrices, images)
ADAPTERS: dict[str, Callable[..., Any]] = {name: f for module in MODULES for name, f in module.ADAPTERS.items()}
