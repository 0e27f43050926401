"""Rows of large tables: taking them, adding to them in any order and segment by segment, and training steps on what was looked up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows.base import FORWARD, Row, StepRow

ROWS = 10**6
#: Rows of a segment, in the mean; by the width of a row.
TERMS = {1: (3, 10), 16: (10,), 64: (10,)}
#: Rows that a training step looks up; steps with different ones, which lie in no cache.
LOOKED_UP, STEPS = 1024, 16
LR = 0.1


def _table(width: int, per_row: int = 1, ascending: bool = False) -> Callable[[np.random.Generator], list[np.ndarray]]:
    # As many rows as indices, which name rows of a table with `per_row` indices to a row.
    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        x = rng.standard_normal((ROWS, width) if width > 1 else ROWS, dtype=np.float32)
        i = rng.integers(0, ROWS // per_row, ROWS)
        return [x, np.sort(i) if ascending else i]

    return arrays


def _segments(width: int, terms: int) -> Row:
    segments = ROWS // terms
    return Row(
        f"segment_sum_1M_to_{segments // 1000}Kx{width}",
        "look-up",
        _table(width, terms, ascending=True),
        lambda o, x, i: o.segment_sum(x, i, segments),
        lambda t, x, ids: t.zeros((segments, *x.shape[1:])).index_add_(0, ids, x),
        modes=(FORWARD,),
    )


def _steps(width: int) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((ROWS, width), dtype=np.float32)
    return table, [(rng.integers(0, ROWS, LOOKED_UP), rng.standard_normal((LOOKED_UP, width), dtype=np.float32)) for _ in range(STEPS)]


def _ours(width: int, backend: str) -> Callable[[], Callable[[], float]]:
    def build() -> Callable[[], float]:
        import tlean as tl

        table, batches = _steps(width)
        specs = [tl.Spec((LOOKED_UP,), "int64"), (LOOKED_UP, width)]
        trainer = tl.ScalarTrainer(
            tl.Options(backend=backend), [table], specs, lambda ops, w, i, y: ops.mse_loss(ops.take(w, i, axis=0, mode="drop"), y)
        )
        update = tl.optim.SGD(trainer.params, lr=LR)
        turn = iter(range(1 << 62))
        return lambda: trainer.optim_step(update, *batches[next(turn) % STEPS]).item()

    return build


def _theirs(width: int) -> Callable[[], Callable[[], float]]:
    def build() -> Callable[[], float]:
        import torch

        table, batches = _steps(width)
        layer = torch.nn.Embedding.from_pretrained(torch.from_numpy(table), freeze=False, sparse=True)
        update = torch.optim.SGD(layer.parameters(), lr=LR)
        tensors = [tuple(map(torch.from_numpy, batch)) for batch in batches]
        turn = iter(range(1 << 62))

        def step() -> float:
            i, y = tensors[next(turn) % STEPS]
            update.zero_grad(set_to_none=True)
            value = torch.nn.functional.mse_loss(layer(i), y)
            value.backward()
            update.step()
            return value.item()

        return step

    return build


def lookups() -> list[Row | StepRow]:
    """A million rows of 1, 16 and 64 floats; steps of a table of a million rows by plain gradient descent."""
    found: list[Row | StepRow] = []
    for width in (1, 16, 64):
        forward: dict[str, Any] = {"modes": (FORWARD,)}
        found += [
            Row(
                f"take_1M_of_1Mx{width}",
                "look-up",
                _table(width),
                lambda o, x, i: o.take(x, i, axis=0),
                lambda t, x, i: t.index_select(x, 0, i),
                **forward,
            ),
            Row(
                f"at_add_1M_to_1Mx{width}",
                "look-up",
                _table(width),
                lambda o, x, i: x.at[i].add(x),
                lambda t, x, i: t.index_add(x, 0, i, x),
                **forward,
            ),
            *(_segments(width, terms) for terms in TERMS[width]),
        ]
    for width in (16, 64):
        found += [
            StepRow(f"embedding_1Mx{width}_step_sgd_{backend}_N{LOOKED_UP}", "look-up", _ours(width, backend), _theirs(width))
            for backend in ("eager", "compiled")
        ]
    return found
