"""Runs every kernel under the checker (`tests/cuda_emulation/checker.cpp`), and fails if it finds anything: part of `.ci/cuda`.

TLEAN_EMULATED_CHECK=1 TLEAN_CHECK_LOG=found.log TLEAN_EMULATED_SEED=1 python tests/support/cuda_checked_kernels.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("support", "cuda", "ops", "kernels", "cuda_emulation")]


def main() -> int:
    """Every kernel once or a few times; the exit status."""
    import cuda_every_kernel
    import device_memory

    import tlean as tl

    log = Path(os.environ["TLEAN_CHECK_LOG"])
    log.unlink(missing_ok=True)
    tl.cuda.ops().context.pool = device_memory.ExactMemory()
    cuda_every_kernel.main()
    found = log.read_text().splitlines() if log.exists() else []
    print("\n".join(found[:50]) or "the checker found nothing")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
