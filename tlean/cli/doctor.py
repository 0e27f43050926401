"""`tlean doctor`: what works in this installation, what is missing for the rest, and how to get it."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import tlean as tl
from tlean._core import table, threads
from tlean.cuda.runtime import nvrtc
from tlean.cuda.runtime.driver import native

from .info import built, version


class Part(NamedTuple):
    """Something that a package beside NumPy is for."""

    title: str
    #: (what is imported, what is installed).
    packages: tuple[tuple[str, str], ...]
    extra: str


PARTS = (
    Part("checkpoints and programs as files (tl.save, tl.save_program)", (("safetensors", "safetensors"),), "checkpoint"),
    Part("pictures (plot_curves, examples)", (("matplotlib", "matplotlib"),), "examples"),
    Part("progress bars (tl.fit)", (("tqdm", "tqdm"),), "examples"),
    Part("TensorBoard logs", (("tensorboardX", "tensorboardX"),), "tensorboard"),
    Part("SciPy's solvers and sparse matrices (tl.scipy, tl.sparse)", (("scipy", "scipy"),), "scipy"),
    Part("scikit-learn estimators (tl.sklearn)", (("sklearn", "scikit-learn"),), "sklearn"),
    Part("files of ONNX (tl.onnx)", (("onnx", "onnx"),), "onnx"),
    Part("several processes (tl.distributed)", (("mpi4py.MPI", "mpi4py"),), "distributed"),
    Part("exchange with PyTorch (tl.to_torch_function)", (("torch", "torch"),), "torch"),
)


def _import_mpi(module: str) -> None:
    # Whether mpi4py finds a library of MPI. Its import starts MPI, or leaves it so that it is never started: in a child process.
    importlib.import_module("mpi4py")
    child = subprocess.run(
        [sys.executable, "-c", f"import mpi4py; mpi4py.rc.initialize = False; import {module}"], capture_output=True, text=True
    )
    if child.returncode:
        raise ImportError(child.stderr.strip().rpartition("\n")[2])


def parts() -> Iterator[tuple[str, bool, str]]:
    """(what it is for, whether it works, what is there or what to do) for each optional part."""
    for part in PARTS:
        missing = []
        for module, package in part.packages:
            try:
                (_import_mpi if package == "mpi4py" else importlib.import_module)(module)
            except Exception as error:
                # A package that is there and broken says why.
                absent = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
                missing.append(package if absent else f"{package}, which fails to import ({type(error).__name__}: {error})")
        if missing:
            yield part.title, False, f"needs {', '.join(missing)}; get it with: pip install 'tlean[{part.extra}]'"
        else:
            yield part.title, True, ", ".join(f"{package} {version(package)}" for _, package in part.packages)


def core() -> Iterator[tuple[str, bool, str]]:
    """The same for what every program needs."""
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    h = 1 - np.tanh(x.astype(float) @ x.T) ** 2
    try:
        value = tl.grad(lambda a: tl.sum(tl.tanh(a @ a.T)))(x).numpy()
        right = bool(np.allclose(value, 2 * h @ x, rtol=1e-5, atol=1e-5))
        said = "right" if right else "wrong; `tlean check` says which ops are"
    except Exception as error:
        right, said = False, f"fails ({type(error).__name__}: {error}); `tlean check` says which ops do"
    yield "a compiled gradient", right, said
    best = next(isa for isa in table.ISAS if threads.cpu_supports(isa))
    if best == table.ISA:
        yield "kernels for this processor", True, table.ISA
    else:
        why = "TLEAN_ISA says so" if os.environ.get("TLEAN_ISA") else f"built are {', '.join(built())}"
        yield "kernels for this processor", False, f"{table.ISA} runs, the processor has {best}: {why}"
    yield "threads", True, f"{tl.get_num_threads()}; TLEAN_NUM_THREADS or tl.set_num_threads changes it"


def compiler() -> tuple[str, bool, str]:
    """The same for NVRTC, the compiler that comes with cuda-bindings."""
    try:
        return "NVRTC, the CUDA compiler", True, "{}.{}".format(*nvrtc.release())
    except (tl.DeviceError, ImportError) as error:
        return "NVRTC, the CUDA compiler", False, str(error)


def gpu() -> Iterator[tuple[str, bool, str]]:
    """The same for CUDA, one step after another."""
    if native("cuEventCreate") is None:
        yield "NVIDIA driver", False, "no libcuda here: the CPU computes. On a machine with a GPU: install NVIDIA's driver"
        return
    yield "NVIDIA driver", True, "its library is here"
    wheels = version("cuda-bindings") != "not installed"
    by_wheels = os.environ.get("TLEAN_CUDA_DRIVER") == "cuda-bindings" or (wheels and version("pycuda") == "not installed")
    if by_wheels and not wheels:
        yield "cuda-bindings", False, "TLEAN_CUDA_DRIVER says so; get it with: pip install 'tlean[cuda-wheels]'"
    elif by_wheels:
        yield "cuda-bindings", True, version("cuda-bindings")
        yield compiler()
    elif version("pycuda") == "not installed":
        yield (
            "PyCUDA or cuda-bindings",
            False,
            "get the latter, with a compiler, by: pip install 'tlean[cuda-wheels]' (with a driver of CUDA 12: 'tlean[cuda12-wheels]'), or "
            "the former by: pip install 'tlean[cuda]' (it is built from source: it needs the CUDA toolkit and a C++ compiler)",
        )
    else:
        yield "PyCUDA", True, version("pycuda")
        nvcc = os.environ.get("TLEAN_NVCC") or shutil.which("nvcc")
        how = (
            "install the CUDA toolkit and put its bin folder on PATH, or set TLEAN_NVCC; "
            "pip install 'tlean[cuda-wheels]' with TLEAN_CUDA_DRIVER=cuda-bindings needs no nvcc"
        )
        yield "nvcc, the CUDA compiler", nvcc is not None, nvcc or how
    ready = tl.cuda.is_available()
    yield "devices", ready, f"{tl.cuda.device_count()}" if ready else "none can be used"


def main(argv: list[str]) -> None:
    """Print what works and what does not; the status is 1 where every program would be wrong."""
    argparse.ArgumentParser(prog="tlean doctor", description=__doc__).parse_args(argv)
    broken = False
    for title, rows in (("tlean", core()), ("CUDA", gpu()), ("optional", parts())):
        print(f"{title}:")
        for what, works, text in rows:
            print(f"  {'ok     ' if works else 'missing' if title != 'tlean' else 'WRONG  '} {what}: {text}")
            broken |= title == "tlean" and what == "a compiled gradient" and not works
    raise SystemExit(1 if broken else 0)
