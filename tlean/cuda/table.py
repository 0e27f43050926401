"""The table of ops and their CUDA kernels in `docs/cuda.md`: `python -m tlean.cuda.table docs/cuda.md` writes it anew."""

from __future__ import annotations

import sys
from pathlib import Path

from ..ops import OpDef, all_ops
from .kernels import kernel_families

_HEADER = """# CUDA

Written by `python -m tlean.cuda.table docs/cuda.md` from the registry and the kernels; a test fails where it is out of date.

**What there is.** Device arrays (`tl.cuda.to_device`), a memory pool with counts, and a kernel in CUDA C for the ops below, in float32.
`tl.cuda.ops()` runs any of them on device arrays, with no tape: `tl.cuda.ops().matmul(a, b)`. An op without a kernel raises a DeviceError;
nothing is ever computed on the host instead. Every reduction has an order that the shapes alone decide, so results do not change from run
to run.

**What there is not yet.** `Session(device="cuda")`, tapes and compiled programs on a device; float64; a choice of
`fast_gpu_matmul_precision`; kernels that add into their output; fused chains; CUDA graphs.

**How it is tested.** nvcc compiles every source for sm_80 and sm_90. The kernels then run under the real PyCUDA on an emulation of a device
on the host (`tests/cuda_emulation`, `.ci/cuda`), against the reference backend over the registry's samples. No kernel has run on a GPU, and
no speed has been measured. On a machine with a GPU, `pytest tests/test_cuda_ops.py tests/test_cuda_arrays.py` runs the same tests on it.

**What it needs.** `pip install 'tlean[cuda]'`, the CUDA toolkit and the driver. Kernels are compiled at first use and kept in
`~/.cache/tlean` (`TLEAN_CACHE_DIR`); `TLEAN_NVCC` names the compiler.
"""


def row(record: OpDef) -> tuple[str, str, str]:
    """An op, its kernel, and the module that has it (or why it needs none, or that there is none)."""
    if record.view:
        return f"`{record.name}`", "–", "a view: no kernel"
    if record.rules.numbers is None and record.rules.decompose is not None:
        return f"`{record.name}`", "–", "runs the kernels of its parts"
    family = kernel_families().get(record.kernel)
    return f"`{record.name}`", f"`{record.kernel}`", f"`{family.name}`" if family else "**none yet**"


def table() -> str:
    """The text of `docs/cuda.md`."""
    rows = [row(record) for record in all_ops()]
    missing = sum(r[2] == "**none yet**" for r in rows)
    title = f"\n## Op × kernel\n\n{len(rows)} ops, those that only rules call among them; {missing} without a kernel.\n"
    return "\n".join([_HEADER + title, "| op | kernel | where |", "|---|---|---|", *(f"| {' | '.join(r)} |" for r in rows)]) + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(table())
    else:
        print(table())
