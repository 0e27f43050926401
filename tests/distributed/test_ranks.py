"""Jobs of several ranks under mpiexec: what they compute, and how one ends whose rank is killed, and goes on from its checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import rank_faults

pytestmark = pytest.mark.skipif(rank_faults.mpiexec() is None, reason="needs mpi4py and mpiexec: pip install 'tlean[distributed]'")

HERE = Path(__file__).parent


def test_two_ranks_compute_what_one_does():
    command = [str(rank_faults.mpiexec()), "-n", "2", sys.executable, str(HERE / "checks.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"TLEAN_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 ranks: all checks passed\n"


def test_a_killed_rank_ends_the_job_and_the_rest_goes_on_with_other_ranks(tmp_path):
    pytest.importorskip("safetensors")
    whole = rank_faults.train(tmp_path)
    for k, moment in enumerate((0.1, 0.6)):
        folder = tmp_path / str(k)
        folder.mkdir()
        rank_faults.check(folder, k, moment)
        assert rank_faults.train(folder) == whole, "one rank has to end with the bits of an undisturbed run"
