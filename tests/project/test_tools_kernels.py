"""The guard over the kernels' machine code: what it reads from a disassembly and from callgrind, and when it fails."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "tools" / "kernels"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


spills, budget = load("spills"), load("budget")

CLEAN = """
0000000000001000 <product>:
    1000:\tpush   %rbx
    1004:\tvmovaps %zmm0,0x40(%rsp)
    1010:\tvfmadd231ps (%rdi),%zmm1,%zmm2
    1016:\tvfmadd231ps 0x40(%rdi),%zmm1,%zmm3
    101c:\tvmovups 0x8(%rsp,%rax,4),%zmm4
    1022:\tvaddps %zmm4,%zmm3,%zmm3
    1028:\tvmulps 0x100(%rip),%zmm3,%zmm3        # 2000 <table+0x20>
    102e:\tjne    1010 <product+0x10>
    1030:\tjmp    1000 <product>
    1034:\tret
"""


def spilling(store: str, load: str) -> str:
    return CLEAN.replace("vmovups 0x8(%rsp,%rax,4),%zmm4", f"{store}\n    101d:\t{load}")


def test_a_loop_without_spills() -> None:
    (function,) = spills.functions(CLEAN)
    assert function.name == "product" and len(function.body) == 10 and not function.framed
    # The outer loop, from the last jump to the first instruction, is not innermost; what it stores counts for nothing.
    ((*body,),) = function.loops()
    assert [hex(i.address) for i in (body[0], body[-1])] == ["0x1010", "0x102e"]
    assert spills.slots(tuple(body), function.framed) == (set(), set()) and spills.survey(CLEAN) == {}


def test_spills_and_reloads() -> None:
    assert spills.survey(spilling("vmovaps %zmm5,0x80(%rsp)", "vaddps 0x80(%rsp),%zmm4,%zmm5")) == {"product": [1, 0]}
    assert spills.survey(spilling("vmovaps %zmm5,-0x40(%rsp)", "vmovaps -0x40(%rsp),%zmm6")) == {"product": [1, 0]}
    # Different slots: one is read only, the other written only, for after the loop.
    assert spills.survey(spilling("vmovaps %zmm5,0x80(%rsp)", "vaddps 0xc0(%rsp),%zmm4,%zmm5")) == {"product": [0, 1]}
    # %rbp is any register unless the function makes it its frame pointer; general registers do not count.
    there, back = "vmovaps %zmm5,-0x80(%rbp)", "vmovaps -0x80(%rbp),%zmm5"
    assert spills.survey(spilling(there, back)) == {}
    assert spills.survey(spilling(there, back).replace("push   %rbx", "mov    %rsp,%rbp")) == {"product": [1, 0]}
    assert spills.survey(spilling("mov %rax,0x80(%rsp)", "mov 0x80(%rsp),%rax")) == {}


def test_loops_that_do_not_count() -> None:
    text = spilling("vmovaps %zmm5,0x80(%rsp)", "vaddps 0x80(%rsp),%zmm4,%zmm5")
    assert spills.survey(text.replace("push   %rbx", "nop")) == {"product": [1, 0]}
    # A call makes every register go to memory, and a loop that hardly computes is not hot.
    assert spills.survey(text.replace("vmulps 0x100(%rip),%zmm3,%zmm3", "call   5000 <expf>")) == {}
    assert spills.survey(text.replace("vfmadd231ps", "vmovaps")) == {}


def test_arithmetic_on_vectors() -> None:
    names = ("vfmadd231ps", "vfnmadd132pd", "vaddps", "vmaxpd", "vdivps", "vpaddd", "vpmulld", "vpminsd", "vscalefps")
    assert all(spills.ARITHMETIC.match(name) for name in names)
    assert not any(
        spills.ARITHMETIC.match(name) for name in ("vmovaps", "vaddss", "vpermps", "vcmpps", "vbroadcastss", "vpxord", "add", "vpaddr")
    )


def test_plain_names() -> None:
    assert spills.plain("__pyx_fuse_0__pyx_f_5tlean_5_core_8avg_pool_avg_grad_one.isra.0") == "avg_grad_one (float)"
    assert spills.plain("__pyx_f_5tlean_5_core_4gemm_tiles_f64") == "tiles_f64"
    assert spills.plain("tl_dots_2x4_f32.constprop.0") == "tl_dots_2x4_f32"


def test_more_than_the_table_allows() -> None:
    allowed = {"a": [0, 10], "b": [20, 0]}
    assert spills.excess({"a": [0, 14], "b": [22, 2], "c": [0, 2]}, allowed) == []
    assert spills.excess({"a": [1, 15], "b": [23, 3], "c": [1, 0]}, allowed) == [
        "a: 1 spills, 0 allowed",
        "a: 15 constants reloaded, 10 in the table",
        "b: 23 spills, 20 allowed",
        "b: 3 constants reloaded, 0 in the table",
        "c: 1 spills, 0 allowed",
    ]


SOURCE = """
typedef float vec __attribute__((vector_size(32)));
void many(vec *restrict out, const vec *restrict in, const float *restrict w, long n) {
    vec sum[LANES];
    for (int k = 0; k < LANES; k++) sum[k] = out[k];
    for (long i = 0; i < n; i++)
        _Pragma("GCC unroll 32") for (int k = 0; k < LANES; k++) sum[k] += in[i] * w[i * LANES + k];
    for (int k = 0; k < LANES; k++) out[k] = sum[k];
}
"""


@pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("objdump")), reason="needs gcc and objdump")
@pytest.mark.parametrize(("lanes", "spilled"), [(8, False), (24, True)])
def test_a_compiled_kernel(lanes: int, spilled: bool, tmp_path: Path) -> None:
    """Eight sums fit into AVX2's sixteen registers, twenty-four do not."""
    (tmp_path / "k.c").write_text(SOURCE)
    flags = ["-O3", "-mavx2", "-mfma", "-c", f"-DLANES={lanes}", "k.c"]
    if subprocess.run(["gcc", *flags], cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("gcc does not compile for AVX2 here")
    found = spills.survey(spills.disassembly(tmp_path / "k.o"))
    assert bool(found.get("many", [0, 0])[0]) is spilled
    assert spills.compiler(tmp_path / "k.o").startswith(("GCC ", "clang "))


def test_what_callgrind_counted() -> None:
    texts = [
        "desc: Trigger: Client Request: exp_16K forward / 100\nevents: Ir\nsummary: 9012\n",
        "desc: Trigger: Client Request: a step / 5\ntotals: 500\n",
        "desc: Trigger: Program termination\nsummary: 7\n",
    ]
    assert budget.counts_in(texts) == {"exp_16K forward": 90, "a step": 100}


def test_over_budget() -> None:
    allowed = {"a": 1000, "b": 1000}
    assert budget.excess({"a": 1100, "b": 900}, allowed, 0.1) == []
    assert budget.excess({"a": 1101, "c": 1}, allowed, 0.1) == [
        "a: 1,101 instructions, 1,000 in the table (+10%)",
        "c: 1 instructions, not in the table",
    ]
    assert budget.excess({"a": 1101}, allowed, 0.5) == []


def test_the_tables_are_of_programs_and_modules_that_there_are() -> None:
    counted = json.loads((FOLDER / "budget.json").read_text())["instructions"]
    rows = {f"{name} {mode}" for name, mode in budget.PROGRAMS} | {f"{name} compiled" for name in budget.COMPILED}
    assert set(counted) == rows | {budget.IMPORT, budget.FIRST}
    core = FOLDER.parents[1] / "tlean" / "_core"
    for module in json.loads((FOLDER / "spills.json").read_text())["modules"]:
        isa, name = module.split()
        assert isa in spills.SETS and any(core.rglob(f"{name}.pyx"))


def test_without_valgrind_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", ["budget.py"])
    budget.main()
    assert "NOT CHECKED: valgrind is not installed" in capsys.readouterr().out
