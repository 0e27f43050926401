"""The GPU's benchmark: its rows run and compute on the emulation, and its part of the page stays in its place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import tlean as tl

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu as benchmark
from rows.gpu import kernel_rows, step_rows


def test_names_differ():
    for quick in (False, True):
        names = [row.name for row in (*kernel_rows(quick), *step_rows(quick))]
        assert len(names) == len(set(names))


def test_rates():
    result = {"row": "add", "flops": 0.0, "bytes": 2e9, "seconds": {"tlean": 1e-3, "torch": 2e-3}}
    assert benchmark.cells(result, 4e12) == ["add", "1 ms", "2,000 GB/s (50%)", "2 ms", "1,000 GB/s (25%)", "0.50"]
    result |= {"flops": 4e12, "bytes": 0.0, "seconds": {"tlean": 0.5}}
    assert benchmark.cells(result, 0.0) == ["add", "500 ms", "8.0 TFLOP/s"]


@pytest.mark.skipif(
    not tl.cuda.is_available(), reason="needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
)
def test_every_row_runs():
    from tlean.cuda.runtime.context import context

    where = context()
    results = [benchmark.measure_kernel(row, where, None, 0.01) for row in kernel_rows(True)]
    results += [benchmark.measure_step(row, where, None, 0.01) for row in step_rows(True) if row.name == "mlp_compiled_N2"]
    assert all(r["seconds"]["tlean"] > 0 for r in results)
    page = "\n".join(benchmark.page(results, ["x: why"], where, "alone", None))
    assert "| matmul_tf32_48 |" in page and "- x: why" in page and "\n## Training steps" in page
