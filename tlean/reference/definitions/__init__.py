"""What each op means, in NumPy: one definition per op, written for reading, over any kind of number.

`DEFINITIONS` maps an op's name to `function(*arrays, **options)`, with absent inputs None and options in canonical form. `CREATORS` holds
the ops with no float array to take the kind of number from: their functions take its dtype first. Elementwise ops are not here: their
formulas are their definitions (`elementwise.evaluate`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import (
    attention,
    conv,
    convert,
    fourier,
    incomplete,
    indexing,
    integers,
    layout,
    linalg,
    loss,
    matrices,
    norm,
    optim,
    pool,
    random,
    reduce,
    statistics,
)  # fmt: skip

DEFINITIONS: dict[str, Callable[..., Any]] = {}
for _family in (
    convert,
    integers,
    layout,
    indexing,
    reduce,
    statistics,
    linalg,
    matrices,
    fourier,
    incomplete,
    conv,
    pool,
    norm,
    attention,
    loss,
    random,
    optim,
):
    DEFINITIONS.update(_family.DEFINITIONS)

CREATORS: dict[str, Callable[..., Any]] = {
    "_full": convert.full,
    "_iota": convert.iota,
    "_eye": convert.eye,
    "_attention_allowed": attention.attention_allowed,
    "_one_hot": loss.one_hot,
    "rand_uniform": random.rand_uniform,
    "_rand_normal": random.rand_normal,
    "_rand_integers": random.rand_integers,
}

__all__ = ["CREATORS", "DEFINITIONS"]
