"""Rows with a bound: what tlean is meant to reach beside PyTorch, JAX, NumPy or itself."""

from __future__ import annotations

from rows.bounded.arrays import array_rows
from rows.bounded.calls import call_rows
from rows.bounded.decompositions import decomposition_rows
from rows.bounded.exported import exported_rows
from rows.bounded.fourier import fourier_rows
from rows.bounded.loops import loop_rows
from rows.bounded.operations import operation_rows
from rows.bounded.sampling import sampling_rows
from rows.bounded.transforms import transform_rows
from rows.libraries import CompiledRow


def rows() -> list[CompiledRow]:
    """Every row with a bound, family by family."""
    groups = (
        call_rows,
        array_rows,
        operation_rows,
        loop_rows,
        transform_rows,
        decomposition_rows,
        fourier_rows,
        sampling_rows,
        exported_rows,
    )
    return [row for group in groups for row in group()]
