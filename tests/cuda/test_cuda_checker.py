"""The checker of kernels finds what is planted: `.ci/cuda` runs this with the emulation that looks at every access."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

import tlean as tl

if "TLEAN_EMULATED_CHECK" not in os.environ or not tl.cuda.is_available():
    pytest.skip("needs the emulation with TLEAN_EMULATED_CHECK; `bash .ci/cuda` runs this file so", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parents[1] / "cuda_emulation"))
import device_memory

from tlean.cuda.calls.prepared import Prepared
from tlean.cuda.calls.table import plan_of
from tlean.cuda.kernels import gemm, norm, softmax, tile
from tlean.cuda.kernels.plan import COMMON, Family, In, Launch, Out, Plan
from tlean.cuda.runtime.array import empty
from tlean.ops import Spec, get

N = 64
#: Kernel -> (its body, what the checker says of it). y and x have N floats, and there are two blocks of 32 threads or one of 64.
PLANTED = {
    "right": (
        "__shared__ float s[64]; s[t] = x[t]; __syncthreads(); float v = s[63 - t]; for (int by = 16; by; by /= 2)"
        " v += __shfl_xor_sync(~0u, v, by); atomicAdd(y, 0.0f); __syncthreads(); if (t) y[t] = v;",
        "",
    ),
    "no_barrier": ("__shared__ float s[64]; s[t] = x[t]; y[t] = s[t ^ 32];", "race of a"),
    "no_second_barrier": ("__shared__ float s[64]; s[t] = x[t]; __syncthreads(); y[t] = s[63 - t]; s[t] = 0;", "race of a"),
    "two_writers": ("y[t / 2] = x[t];", "race of two writes"),
    "one_too_many": ("for (int i = t; i <= 64; i += 64) y[t] += x[i];", "past the end|outside of every allocation"),
    "one_too_few": ("y[t] = x[t - 1];", "outside of every allocation"),
    "a_byte_too_many": ("if (t == 0) *(double *)((char *)y + 248 + 4) = 0;", "past the end"),
    "not_aligned": ("if (t < 15) { const float4 v = *(const float4 *)(x + 4 * t + 1); y[t] = v.x; }", "not aligned"),
    "nobody_wrote_it_in_the_block": ("__shared__ float s[64]; if (t < 32) s[t] = 1; __syncthreads(); y[t] = s[t];", "uninitialised shared"),
    "nobody_wrote_it": ("if (t == 0) y[0] = y[1];", "uninitialised device"),
    "two_barriers": ("if (t < 16) { y[t] = 1; __syncthreads(); } else { y[t] = 2; __syncthreads(); y[t] = 3; }", "different barriers"),
    "left_early": ("if (t >= 16) return; __syncthreads(); y[t] = x[t];", "barrier that threads have left"),
    "lanes_left_early": ("if (t >= 16) return; y[t] = __shfl_xor_sync(~0u, x[t], 1);", "exchange that lanes have left"),
}
SOURCE = (
    COMMON
    + "".join(
        f'extern "C" __global__ void k_{name}(float *y, const float *x) {{ const int t = threadIdx.x; {body} }}\n'
        for name, (body, _) in PLANTED.items()
    )
    + 'extern "C" __global__ void k_two_blocks(float *y, const float *x) { y[threadIdx.x] = x[blockIdx.x]; }\n'
)


@pytest.fixture(scope="module")
def where():
    found = tl.cuda.ops().context
    pool = found.pool
    found.pool = device_memory.ExactMemory()
    yield found
    found.pool = pool


@pytest.fixture
def findings(tmp_path, monkeypatch):
    log = tmp_path / "found.log"
    monkeypatch.setenv("TLEAN_CHECK_LOG", str(log))

    def read():
        tl.cuda.synchronize()
        return log.read_text().splitlines() if log.exists() else []

    return read


def run(where, family, plan, outs, ins):
    """The launches of a plan; the arrays are separate allocations."""
    given = [None if x is None else tl.cuda.to_device(x) for x in ins]
    made = [empty(shape, "float32", where) for shape in outs]
    Prepared(where, family, plan, RuntimeError).run(made, given)
    return made


@pytest.mark.parametrize("name", [*PLANTED, "two_blocks"])
def test_what_is_planted_is_found(name, where, findings):
    blocks, threads = (2, 32) if name == "two_blocks" else (1, N)
    plan = Plan((Launch(f"k_{name}", (Out(0), In(0)), (blocks, 1, 1), (threads, 1, 1)),))
    kept = run(where, Family("planted", SOURCE, {}), plan, [(N,)], [np.ones(N, "float32")])
    found = findings()
    del kept
    expected = "race of two writes" if name == "two_blocks" else PLANTED[name][1]
    if not expected:
        assert not found
        return
    assert any(part in line for line in found for part in expected.split("|")), found
    assert all(f": k_{name} at " in line and "kernel." in line for line in found), "the place in the source"


def without_barrier(text, number):
    """A source without its barrier of this number."""
    parts = text.split("__syncthreads();")
    return "__syncthreads();".join(parts[: number + 1]) + ";" + "__syncthreads();".join(parts[number + 1 :])


def softmax_call():
    return get("softmax"), [(5, 300)], {"axis": 1}, softmax.FAMILY.source


def norm_call():
    return get("_layer_norm_grad"), [(70, 130), (70, 130), (130,), (70,), (70,)], {"eps": 1e-5}, norm.FAMILY.source


def gemm_call():
    precision = tile.PRECISIONS["fp32"]
    source = COMMON + tile.source(precision) + gemm._SOURCE + gemm._kernel(precision, tile.Tile(32, 128, 2), False, False)
    return get("matmul"), [(20, 40), (40, 70)], {"transpose_a": False, "transpose_b": False}, source


CALLS = {"softmax": softmax_call, "norm": norm_call, "gemm": gemm_call}


@pytest.mark.parametrize(("name", "barriers"), [("softmax", (0,)), ("norm", (0, 1, 2)), ("gemm", (1, 2))])
def test_a_barrier_that_is_taken_away_is_missed(name, barriers, where, findings):
    """The checker finds a race without any one of these; the results of the plain emulation are the same without some."""
    record, shapes, options, source = CALLS[name]()
    specs = tuple(Spec(s) for s in shapes)
    clean, outs = record.infer(specs, options)
    plan, rng = plan_of(record, specs, clean), np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype("float32") for s in shapes]
    run(where, Family(f"{name}_whole", source, {}), plan, [o.shape for o in outs], arrays)
    assert findings() == []
    for number in barriers:
        before = len(findings())
        run(where, Family(f"{name}_without_{number}", without_barrier(source, number), {}), plan, [o.shape for o in outs], arrays)
        assert any("race" in line for line in findings()[before:]), f"barrier {number} of {name}"
