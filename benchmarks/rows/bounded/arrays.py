"""Broadcasting, all pairs, look-ups in large tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.base import FORWARD, Row
from rows.bounded.broadcasting import (
    norm_jax,
    norm_ours,
    norm_theirs,
    pairs_logsumexp_jax,
    pairs_logsumexp_ours,
    pairs_sum_jax,
    pairs_sum_ours,
)
from rows.bounded.shapes import eager
from rows.libraries import Bound, CompiledRow, Timed
from rows.lookups import lookups
from rows.ops import broadcast_ops

_FAMILY = "arrays"
#: Above the inputs and results of all pairs of 4,096 numbers.
_PAIRS_BYTES = 4 << 20
#: Of PyTorch's time, by the width of a row.
_LOOKUPS = {"take": {1: 0.7, 16: 0.8, 64: 1.0}, "at_add": {1: 0.5, 16: 0.6, 64: 1.0}, "segment_sum": {1: 0.5, 16: 0.6, 64: 1.0}}
_EMBEDDING = 2.0


def _stretched() -> list[CompiledRow]:
    # Against the same op of two arrays of one shape: in the same process, turn by turn.
    by_name = {row.name: row for row in broadcast_ops()}

    def against(name: str, same: str) -> CompiledRow:
        def base(_: Any) -> Timed:
            from worker import Ours

            return Ours().build(by_name[same])[FORWARD]

        return eager(by_name[name], FORWARD, (Bound(1.10, "base"),), _FAMILY, base=base)

    return [against(f"{op}_{kind}_1000x1000", f"{op}_same_1000x1000") for op in ("add", "mul") for kind in ("row", "column", "number")]


def _preallocated(row: Row) -> Any:
    # PyTorch writes into an array that is there already, as tlean does with what its arena kept.
    def build(arrays: list[np.ndarray]) -> Timed:
        import torch

        tensors = [torch.from_numpy(a) for a in arrays]
        result = torch.empty_like(row.theirs(torch, *tensors))
        x, i = tensors
        if row.name.startswith("take"):
            return lambda: torch.index_select(x, 0, i, out=result)
        if row.name.startswith("at_add"):
            return lambda: torch.index_add(x, 0, i, x, out=result)
        return lambda: result.zero_().index_add_(0, i, x)

    return build


def _tables() -> list[CompiledRow]:
    found = []
    for row in lookups():
        if isinstance(row, Row):
            bounds = next(b for name, b in _LOOKUPS.items() if row.name.startswith(name))
            found.append(
                eager(row, FORWARD, (Bound(bounds[int(row.name.rpartition("x")[2])], "torch"),), _FAMILY, torch=_preallocated(row))
            )
        else:
            found.append(eager(row, row.modes[0], (Bound(_EMBEDDING, "torch"),), _FAMILY))
    return found


def array_rows() -> list[CompiledRow]:
    """Rows, columns and numbers; a layer norm by hand; distances of all pairs; a million rows taken and added."""

    def norm(rng: np.random.Generator) -> list[np.ndarray]:
        return [rng.standard_normal(s, dtype=np.float32) for s in ((4096, 1024), (1024,), (1024,))]

    def pairs(rng: np.random.Generator) -> list[np.ndarray]:
        return [rng.standard_normal(s, dtype=np.float32) for s in ((4096, 1), (1, 4096))]

    def logsumexp_torch(t: Any, x: Any, y: Any) -> Any:
        return t.logsumexp(-((x - y) ** 2), 1).mean()

    bounds = (Bound(0.5), Bound(_PAIRS_BYTES, "memory"))
    sums = (pairs_sum_ours, lambda t, *xs: pairs_sum_jax(*xs), pairs_sum_jax)
    logarithms = (pairs_logsumexp_ours, logsumexp_torch, pairs_logsumexp_jax)
    return [
        *_stretched(),
        CompiledRow("layer_norm_by_hand_4096x1024", "grad", norm, 3, norm_ours, norm_theirs, norm_jax, _FAMILY, (Bound(0.6),)),
        CompiledRow("layer_norm_by_hand_4096x1024_forward", "forward", norm, 3, norm_ours, norm_theirs, norm_jax, _FAMILY, (Bound(0.6),)),
        CompiledRow("pairs_4096_sum", "grad", pairs, 2, *sums, _FAMILY, bounds),
        CompiledRow("pairs_4096_sum_forward", "forward", pairs, 2, *sums, _FAMILY, bounds),
        CompiledRow("pairs_4096_logsumexp", "grad", pairs, 2, *logarithms, _FAMILY, bounds),
        CompiledRow("pairs_4096_logsumexp_forward", "forward", pairs, 2, *logarithms, _FAMILY, bounds),
        *_tables(),
    ]
