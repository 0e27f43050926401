"""What the CUDA room promises on any machine: errors that name what is missing, the plans of launches, the cache of compiled kernels, the
table in the documentation; and, where nvcc is, that every source compiles for real devices."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

import tlean as tl
from tlean._core.table import KERNELS
from tlean.compiler.derive import in_parts
from tlean.cuda.calls.packing import Packed
from tlean.cuda.calls.table import family_of, plan_of, works_in
from tlean.cuda.kernels import families, kernel_families, sources
from tlean.cuda.kernels.plan import Fault, In, Launch, Out, Plan, Scratch, lanes
from tlean.cuda.runtime import nvcc as build
from tlean.ops import Spec, all_ops, get
from tlean.ops.elementwise import LANES
from tlean.ops.optim import FINITE

ROOT = Path(__file__).parents[2]

# Missing parts ----------------------------------------------------------------------------------------------------------------


def in_child(text: str, *path: Path, **env: str) -> str:
    """What a fresh interpreter prints; `path` comes first on its module path, and no emulation is loaded."""
    # What else is preloaded stays: a library built with a sanitizer does not load without the sanitizer's own.
    kept = " ".join(p for p in os.environ.get("LD_PRELOAD", "").split() if not Path(p).name.startswith("libcuda."))
    clean = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "PYTHONPATH", "TLEAN_CUDA_DRIVER")} | (
        {"LD_PRELOAD": kept} if kept else {}
    )
    command = [sys.executable, "-c", text]
    whole = {**clean, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))), **env}
    return subprocess.run(command, env=whole, capture_output=True, text=True, check=True, timeout=120).stdout


PROBE = """
import tlean as tl
print(tl.cuda.is_available())
c = tl.cuda
gpu = tl.Options(device="cuda")
calls = [c.device_count, c.synchronize, c.memory_stats, c.empty_cache, lambda: c.to_device(1.0), c.ops]
calls += [lambda: tl.Session(gpu), lambda: tl.Session(gpu, backend="compiled")]
calls += [lambda: tl.Tape(device="cuda"), lambda: tl.TapeM(device="cuda")]
calls += [lambda: tl.ScalarTrainer(gpu.replace(backend=b), [1.0], [()], lambda ops, w, x: ops.mul(w, x)) for b in ("eager", "compiled")]
for call in calls:
    try:
        call()
    except tl.DeviceError as error:
        print(error)
"""
NO_DRIVER = "raise ImportError('libcuda.so.1: cannot open shared object file')"
NO_DEVICE = """
from unittest.mock import MagicMock
class Error(Exception): pass
def init(): raise Error('no CUDA-capable device is detected')
def __getattr__(name):
    if name.startswith("__"): raise AttributeError(name)
    return MagicMock()
"""
NO_LIBRARY = """
def __getattr__(name):
    if name.startswith("__"): raise AttributeError(name)
    def call(*arguments): raise RuntimeError("Failed to dlopen libcuda.so.1")
    return call
"""
NONE_FOUND = """
from unittest.mock import MagicMock
def cuDriverGetVersion(): return 0, 13000
def cuInit(flags): return (100,)
def cuGetErrorString(status): return 0, b"no CUDA-capable device is detected"
def __getattr__(name):
    if name.startswith("__"): raise AttributeError(name)
    return MagicMock()
"""
# (files, environment, message)
WITHOUT = {
    "both packages": ({}, {}, "neither PyCUDA nor cuda-bindings is installed; pip install 'tlean[cuda-wheels]'"),
    "PyCUDA": ({"cuda/bindings/driver": NO_LIBRARY}, {"TLEAN_CUDA_DRIVER": "pycuda"}, "not installed; pip install 'tlean[cuda]'"),
    "cuda-bindings": (
        {"pycuda/driver": NO_DRIVER},
        {"TLEAN_CUDA_DRIVER": "cuda-bindings"},
        "TLEAN_CUDA_DRIVER says cuda-bindings, which is not installed; pip install 'tlean[cuda-wheels]'",
    ),
    "a package of that name": ({}, {"TLEAN_CUDA_DRIVER": "cupy"}, "TLEAN_CUDA_DRIVER must be 'pycuda' or 'cuda-bindings', not 'cupy'"),
    "driver": ({"pycuda/driver": NO_DRIVER, "cuda/bindings/driver": NONE_FOUND}, {}, "install the NVIDIA driver"),
    "driver, cuda-bindings": ({"cuda/bindings/driver": NO_LIBRARY}, {}, "(Failed to dlopen libcuda.so.1); install the NVIDIA driver"),
    "device": ({"pycuda/driver": NO_DEVICE}, {}, "finds no device (no CUDA-capable device is detected)"),
    "device, cuda-bindings": ({"cuda/bindings/driver": NONE_FOUND}, {}, "no CUDA-capable device is detected (error 100)); a CUDA device"),
}


@pytest.mark.parametrize("missing", WITHOUT)
def test_says_what_is_missing(missing, tmp_path):
    files, env, text = WITHOUT[missing]
    # What is installed is as if it were not.
    absent = [name for name in ("pycuda", "cuda.bindings") if not any(f.startswith(name.replace(".", "/")) for f in files)]
    before = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in absent)
    for name, body in files.items():
        package = (tmp_path / name).parent
        package.mkdir(exist_ok=True, parents=True)
        (package / "__init__.py").touch()
        (tmp_path / f"{name}.py").write_text(body)
    available, *errors = in_child(before + PROBE, tmp_path, **env).splitlines()
    assert available == "False" and len(errors) == 12, errors
    assert all(text in e for e in errors), errors


def test_tlean_does_not_import_what_reaches_the_driver():
    text = "import sys, tlean; tlean.cuda; print({'pycuda', 'cuda', 'tlean._core.device.answers'} & {*sys.modules})"
    assert in_child(text) == "set()\n"


# Plans --------------------------------------------------------------------------------------------------------------------------


def test_every_kernel_of_the_registry_is_in_the_table():
    """By the names that the CPU has: a kernel that no op uses would be a misspelt one."""
    # A step's look at its numbers is no op of the registry's, nor are the forms on lanes of those of Booleans.
    names = {r.kernel for r in all_ops() if not r.view} | {FINITE.kernel} | LANES.keys()
    found = kernel_families().keys()
    assert {k.partition(":")[0] for k in found} <= names and {k for k in found if ":" in k} <= KERNELS.keys()
    assert sum(len(f.kernels) for f in families().values()) == len(kernel_families())


@pytest.mark.parametrize("name", sorted({r.name for r in all_ops() if r.samples and r.kernel in kernel_families()}))
def test_plans_name_functions_and_buffers_that_exist(name):
    record = get(name)
    for sample in record.samples():
        if sample.raises:
            continue
        shapes = [None if a is None else getattr(a, "shape", a) for a in sample.args]
        shapes += [None] * (0 if record.variadic else len(record.inputs) - len(shapes))
        taken = {"any": "float", "truth": "bool"}
        kinds = [record.dtypes.get(n.partition("[")[0], "float") for n in record.input_names(len(shapes))]
        kinds = [taken.get(kind, kind) for kind in kinds]
        specs = tuple(None if s is None else Spec(tuple(s), k) for s, k in zip(shapes, kinds, strict=True))
        clean, outs = record.infer(specs, sample.options)
        if in_parts(record, specs, clean):
            continue
        plan, family = plan_of(record, specs, clean), family_of(record, dtype=works_in(record, specs, clean))
        for launch in plan.launches:
            assert f" {launch.function}(" in family.source
            assert min(launch.block) >= 1 and launch.block[0] * launch.block[1] * launch.block[2] <= 1024
            assert all(a.number < len(outs) for a in launch.args if isinstance(a, Out))
            assert all(a.number < len(specs) for a in launch.args if isinstance(a, In))
            assert all(a.number < len(plan.scratch) for a in launch.args if isinstance(a, Scratch))


def test_arguments_and_lanes():
    launch = Launch("f", (Out(0), In(1), 3, 0.5, (1, 2, 3), Fault()), (1, 1, 1))
    where = SimpleNamespace(function=lambda family, name: name, stream=7)
    packed = Packed(where, None, launch, lambda a: 99 if isinstance(a, Fault) else (int(isinstance(a, In)), a.number))
    for addresses in ([[10], [0, 20]], [[30], [0, 40]]):
        ((function, (grid, block, arguments, shared, stream)),) = packed.calls(addresses)
        assert (function, grid, block, shared, stream) == ("f", launch.grid, launch.block, 0, 7)
        assert struct.unpack("qqqfqqqq", arguments) == (addresses[0][0], addresses[1][1], 3, 0.5, 1, 2, 3, 99)
    assert Plan((launch,)).checked and not Plan(()).checked
    assert [lanes(n) for n in (0, 1, 2, 3, 64, 65, 1000)] == [1, 1, 2, 4, 64, 128, 256]
    assert Launch("f", (), (0, 1, 1)).empty and not launch.empty


def test_a_copy_with_too_many_axes_is_refused():
    shape = (2,) * 14
    with pytest.raises(tl.ShapeError, match="at most 12 axes"):
        plan_of(get("permute"), (Spec(shape),), {"axes": tuple(reversed(range(14)))})


def test_a_missing_kernel_is_named(monkeypatch):
    from tlean.cuda.calls import table

    monkeypatch.delitem(table.KERNELS, "matmul")
    with pytest.raises(tl.DeviceError, match="bmm: there is no CUDA kernel named 'matmul'"):
        plan_of(get("bmm"), (Spec((1, 2, 2)), Spec((1, 2, 2))), {})


def test_launches_stay_within_a_devices_limits():
    """The gradient of layer norm over any number of rows, and an error where a grid or a count would overflow."""

    def plan(name, *shapes, **options):
        specs = tuple(Spec(s) for s in shapes)
        return plan_of(get(name), specs, get(name).infer(specs, options)[0])

    rows = 34_000_000
    assert plan("_layer_norm_grad", (rows, 8), (rows, 8), (8,), (rows,), (rows,), eps=1e-5).launches
    with pytest.raises(tl.ShapeError, match="at most"):
        Launch("f", (), (1, 65_536, 1))
    most = (1 << 31) - 2048
    for m, n, k in ((1, 1, most), (most, 1, 1), (1, most, 1)):
        with pytest.raises(tl.ShapeError, match="fewer than 2147481600"):
            plan("matmul", (m, k), (k, n), transpose_a=False, transpose_b=False)
    assert plan("matmul", (1, most - 1), (most - 1, 1), transpose_a=False, transpose_b=False).launches
    image = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    with pytest.raises(tl.ShapeError, match="positions"):
        plan("conv", (1, 1, 1, 1), (1,), ((1 << 31) - 64, 1, 1, 1), **image)
    # Its residual counts in 32 bits.
    with pytest.raises(tl.ShapeError, match=r"fewer than 2\*\*31 elements"):
        plan("reduce_max", (1 << 31,), axis=(0,))


# Compiled kernels -----------------------------------------------------------------------------------------------------------------


def test_cache_entries_are_whole_or_nothing(tmp_path):
    path = tmp_path / "folder" / "entry.cubin"
    assert build.read_entry(path) is None
    build.write_entry(path, b"kernels")
    assert build.read_entry(path) == b"kernels"
    assert [p.name for p in path.parent.iterdir()] == ["entry.cubin"], "no temporary file stays"
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + b"x", b"x" + whole[1:], whole + b"x", b""):
        path.write_bytes(damaged)
        assert build.read_entry(path) is None
    build.write_entry(path, b"again")
    assert build.read_entry(path) == b"again"


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    build.write_entry(tmp_path / "file" / "entry", b"kernels")
    assert build.read_entry(tmp_path / "file" / "entry") is None


def test_cache_keys_differ_in_each_part():
    base = ("source", ["-O3"], "sm_90", "13.0")
    others = [("Source", ["-O3"], "sm_90", "13.0"), ("source", ["-O2"], "sm_90", "13.0"), ("source", ["-O3"], "sm_80", "13.0"),
              ("source", ["-O3"], "sm_90", "13.1"), ("source-", ["O3"], "sm_90", "13.0")]  # fmt: skip
    assert len({build.cache_key(*k) for k in (base, *others)}) == 6
    assert build.cache_key(*base) == build.cache_key(*base)


@pytest.mark.parametrize("variable", ["NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"])
def test_cache_keys_have_the_compilers_own_variables(variable, monkeypatch):
    before = build.cache_key("source", ["-O3"], "sm_90", "13.0")
    monkeypatch.setenv(variable, "--use_fast_math")
    assert build.cache_key("source", ["-O3"], "sm_90", "13.0") != before


def test_a_device_newer_than_the_compiler():
    known = (75, 80, 86, 89, 90, 100, 103, 120)
    assert build.target("sm_90", known) == ("sm_90", "cubin")
    assert build.target("sm_121", known) == ("sm_120", "cubin")
    assert build.target("sm_88", known) == ("sm_86", "cubin")
    assert build.target("sm_130", known) == ("compute_120", "ptx")
    # The compiler says itself that it knows none so old, or tells nothing.
    assert build.target("sm_70", known) == ("sm_70", "cubin")
    assert build.target("sm_90", ()) == ("sm_90", "cubin")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TLEAN_CACHE_DIR", raising=False)
    assert build.cache_folder() == tmp_path / "tlean"
    monkeypatch.setenv("TLEAN_CACHE_DIR", str(tmp_path / "here"))
    assert build.cache_folder() == tmp_path / "here"


#: Bytes that a kernel may keep outside of its registers: a few values of the largest tiles that wait there for the end of the sums.
MOST_SPILLED = 160
#: Bytes of shared memory that a block has without requesting more.
MOST_SHARED = 48 << 10
USED = re.compile(
    r"function '(\w+)' for '(sm_\d+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers(?:.*?, (\d+) bytes smem)?"
)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc, the CUDA compiler")
def test_nvcc_compiles_every_source(tmp_path):
    """For sm_80 and sm_90, both in one call of the compiler a source; within the registers and the shared memory that there are."""
    targets = [x for n in (80, 90) for x in ("-gencode", f"arch=compute_{n},code=sm_{n}")]
    clean = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "PYTHONPATH")}

    def compiled(family):
        source = tmp_path / f"{family.name}.cu"
        source.write_text(family.source)
        command = [
            "nvcc",
            "-fatbin",
            "-Xptxas",
            "-v",
            *targets,
            *build.flags(family),
            str(source),
            "-o",
            str(source.with_suffix(".fatbin")),
        ]
        return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=600), source.with_suffix(".fatbin")

    with ThreadPoolExecutor(2) as pool:
        for (result, made), (name, family) in zip(pool.map(compiled, sources().values()), sources().items(), strict=True):
            # PyCUDA passes what the compiler says on as a warning.
            assert result.returncode == 0 and "warning" not in result.stderr, f"{name}: {result.stderr}"
            assert made.stat().st_size > 0
            text = result.stderr.replace("\n", " ")
            reports = [USED.search(part) for part in text.split("Compiling entry ")[1:]]
            assert len(reports) == 2 * family.source.count("__global__"), name
            for report in reports:
                kernel, arch, stores, loads, registers, shared = report.groups()
                allowed = MOST_SPILLED if "128x128" in kernel or "dkv" in kernel else 0
                assert int(stores) <= allowed and int(loads) <= allowed, (
                    f"{kernel} for {arch}: {stores} bytes spilled, {registers} registers"
                )
                assert int(shared or 0) <= MOST_SHARED, f"{kernel} for {arch}"
