"""Lowering for CUDA on any machine: the programs of the registry have launches for all they do, and nvcc compiles their fused kernels."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import cuda_plans
import pytest

import tlean as tl
from tlean.compiler.arrange import arrange
from tlean.compiler.graph import Graph
from tlean.compiler.passes.expand import expand
from tlean.cuda.calls import table
from tlean.cuda.code import module
from tlean.cuda.kernels.plan import In, Out, Scratch
from tlean.cuda.runtime import nvcc as build
from tlean.cuda.target import Cuda
from tlean.ops import Spec


def arranged(graph, target=None):
    target = target or Cuda()
    return arrange(expand(graph, target), target)


@pytest.mark.parametrize("kind", cuda_plans.KINDS)
def test_launches_name_functions_and_operands_that_exist(kind):
    for name, k, _ in [c for c in cuda_plans.CASES if c[2] == kind]:
        arrangement = arranged(cuda_plans.program(name, k, kind, "float32")[0])
        own = module(arrangement)
        for step in arrangement.program.steps:
            for family, found in step.code.launches:
                assert f" {found.function}(" in (family or own).source, name
                for a in found.args:
                    operands = {In: step.inputs, Out: step.outputs, Scratch: step.scratch}.get(type(a))
                    assert operands is None or a.number < len(operands), name


def test_a_group_says_what_it_does():
    graph = Graph("float32")
    x, c = graph.arg(Spec((1000,))), graph.arg(Spec(()))
    graph.outputs = [graph.mul(graph.scale(x, 2.0), graph.broadcast_to(c, (1000,))).id]
    (step,) = arranged(graph).program.steps
    assert step.kernel == "fused(scale broadcast_to mul)"
    (_, found), text = step.code.launches[0], step.code.source
    assert found.args == (Out(0), In(0), In(1), 2.0, 1000) and found.grid == (1, 1, 1)
    assert "const float v0 = (p0 * a0);" in text or "const float v0 = (a0 * p0);" in text
    assert "const float v1 = s0;" in text and "((float4 *)out0)[i] = o0;" in text


def test_a_group_reads_a_stretched_operand_where_it_is():
    graph = Graph("float32")
    x, row, column, inner = (graph.arg(Spec(s)) for s in ((6, 5, 4), (4,), (6, 1, 1), (5, 1)))
    graph.outputs = [graph.add(graph.mul(graph.sub(x, row), column), inner).id]
    (step,) = arranged(graph).program.steps
    (_, found), text = step.code.launches[0], step.code.source
    assert step.inputs[0] == x.id and set(step.inputs[1:]) == {row.id, column.id, inner.id}
    # Each operand's address comes with the numbers of its index: modulo 4; over 20; over 4 modulo 5.
    assert [a for a in found.args[2:] if not isinstance(a, In)] == [4, 20, 4, 5, 120]
    assert "from0[(unsigned)(i) % (unsigned)b0_0]" in text and "from1[(unsigned)(4 * i + 3) / (unsigned)b1_0]" in text
    assert "from2[(unsigned)(i) / (unsigned)b2_0 % (unsigned)b2_1]" in text


def test_a_missing_kernel_is_named_when_the_program_is_lowered(monkeypatch):
    monkeypatch.delitem(table.KERNELS, "matmul")
    graph = Graph("float32")
    x = graph.arg(Spec((3, 3)))
    graph.outputs = [graph.matmul(x, graph.tanh(x)).id]
    with pytest.raises(tl.DeviceError, match="matmul: there is no CUDA kernel"):
        arranged(graph)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc, the CUDA compiler")
def test_nvcc_compiles_the_groups_of_every_program(tmp_path):
    targets = [x for n in (80, 90) for x in ("-gencode", f"arch=compute_{n},code=sm_{n}")]
    clean = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "PYTHONPATH")}

    def compiled(family):
        source = tmp_path / f"{family.name}.cu"
        source.write_text(family.source)
        # Quickly: what the assembler makes of it is not looked at.
        command = [
            "nvcc",
            "-fatbin",
            "-Xptxas",
            "-O0",
            *targets,
            *build.flags(family),
            str(source),
            "-o",
            str(source.with_suffix(".fatbin")),
        ]
        return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=110)

    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(compiled, cuda_plans.modules()):
            # PyCUDA passes what the compiler says on as a warning.
            assert result.returncode == 0 and not result.stderr, result.stderr
