"""What is measured."""

from __future__ import annotations

from rows.base import Row, StepRow
from rows.further import indexing, norms_and_attention
from rows.lookups import lookups
from rows.matrices import matrices
from rows.models import model_rows
from rows.ops import (
    broadcast_ops,
    chains,
    convolutions,
    elementwise_ops,
    layout_and_reductions,
    linear_algebra,
    pools,
    random_ops,
    softmax_and_losses,
)
from rows.optimizers import optimizer_rows
from rows.statistics import moments_and_order
from rows.training import step_rows
from rows.transforms import transform_rows


def all_rows() -> list[Row | StepRow]:
    """Every row, in the order of the table."""
    groups = (
        *(chains, step_rows, elementwise_ops, broadcast_ops, layout_and_reductions, moments_and_order, linear_algebra, matrices),
        *(convolutions, pools, softmax_and_losses, random_ops, norms_and_attention, model_rows, indexing, lookups, optimizer_rows),
        *(transform_rows,),
    )
    return [row for group in groups for row in group()]
