"""Two ranks on emulated devices whose sums go through NVIDIA's nccl4py into `fake_nccl`, a stand-in for NCCL's library."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rank_faults

import tlean as tl

# The stand-in sums memory of the host: a real device's would be none.
if not tl.cuda.is_available() or not hasattr(ctypes.CDLL("libcuda.so.1"), "emulated_waits"):
    pytest.skip("needs the emulated driver; `bash .ci/cuda` builds it and runs this file on it", allow_module_level=True)
if rank_faults.mpiexec() is None or importlib.util.find_spec("nccl") is None:
    pytest.skip("needs mpi4py, mpiexec and nccl4py: pip install 'tlean[distributed,nccl]'", allow_module_level=True)
if shutil.which("gcc") is None:
    pytest.skip("needs gcc, which compiles the stand-in for NCCL's library", allow_module_level=True)

HERE = Path(__file__).parent
FAILING = ["ncclGetUniqueId", "ncclCommInitRankScalable", "ncclGroupStart", "ncclAllReduce:5", "ncclGroupEnd"]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What the two ranks of a job have to say."""
    folder = tmp_path_factory.mktemp("nccl")
    library = folder / "libnccl.so.2"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden", f"-Wl,-soname,{library.name}"]
    subprocess.run(["gcc", *flags, str(HERE / "fake_nccl" / "nccl.c"), "-o", str(library), "-ldl", "-lrt"], check=True)
    command = [str(rank_faults.mpiexec()), "-n", "2", sys.executable, str(HERE / "nccl_ranks.py"), str(folder), *FAILING]
    # Loaded before the package looks for one: its library's name is taken.
    preload = {"LD_PRELOAD": f"{library} {os.environ.get('LD_PRELOAD', '')}", "LD_LIBRARY_PATH": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=os.environ | {"TLEAN_NUM_THREADS": "1"} | preload)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_sums_are_those_of_all_ranks(ranks):
    assert [found["sums"] for found in ranks] == [[True] * 3] * 2


def test_a_training_is_the_one_through_the_host(ranks):
    first, second = (found["training"] for found in ranks)
    for key in ("nccl", "host", "cpu"):
        assert first[key] == second[key], "the parameters of rank 0 go to all, and stay the same on all"
    # A sum of two ranks has one order: the same bits.
    assert first["nccl"] == first["host"]
    np.testing.assert_allclose(first["nccl"][0], first["cpu"][0], rtol=1e-4)
    for a, b in zip(first["nccl"][1], first["cpu"][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rank", range(2))
def test_the_calls_of_a_training(ranks, rank):
    calls = ranks[rank]["training"]["calls"]
    step = ["ncclGroupStart", *["ncclAllReduce"] * 3, "ncclGroupEnd"]
    assert [name for name, *_ in calls] == ["ncclGetUniqueId"] * (rank == 0) + ["ncclCommInitRankScalable", *step * 3]
    sums = [values for name, *values in calls if name == "ncclAllReduce"]
    stream = sums[0][-1]
    # Counts, float32, sum, in place, on one stream that is not the default one.
    assert sums == [[n, "7", "0", "1", stream] for n in ("48", "8", "24")] * 3 and stream != "(nil)"


@pytest.mark.parametrize("rank", range(2))
@pytest.mark.parametrize("call", FAILING)
def test_a_call_that_fails_is_named(ranks, rank, call):
    kind, text = ranks[rank]["failing"][call]
    if call == "ncclGetUniqueId" and rank:
        # Rank 0 made it for all.
        assert kind == "RankError" and text.endswith("ncclGetUniqueId failed there")
    else:
        name = call.split(":")[0].removesuffix("Scalable")
        assert kind == "DeviceError" and text.startswith(f"distributed: {name} failed on rank {rank}: "), text
        assert "system error" in text.lower()


@pytest.mark.parametrize("rank", range(2))
def test_ranks_that_sum_different_arrays_are_told(ranks, rank):
    kind, text = ranks[rank]["different"]
    assert kind == "DeviceError" and text.startswith(f"distributed: ncclGroupEnd failed on rank {rank}: ")
