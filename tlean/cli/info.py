"""`tlean info`: versions, instruction set, threads, CUDA."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import tlean as tl
from tlean._core import table, threads

OPTIONAL = (
    *("safetensors", "matplotlib", "tqdm", "scipy", "scikit-learn", "tensorboardX", "onnx", "mpi4py"),
    *("pycuda", "cuda-bindings", "torch"),
)


def version(package: str) -> str:
    """The installed version of a package, or that there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name, as well as the system tells it."""
    source = Path("/proc/cpuinfo")
    lines = source.read_text().splitlines() if source.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine()
    )


def cuda() -> str:
    """Whether the CUDA backend can run here, and what is missing where it cannot."""
    if tl.cuda.is_available():
        return f"{tl.cuda.device_count()} device(s)"
    absent = version("pycuda") == version("cuda-bindings") == "not installed"
    return "not available" + (" (neither pycuda nor cuda-bindings is installed)" if absent else "")


def built() -> list[str]:
    """The instruction sets that kernels were built for."""
    folder = Path(table.__file__).parent
    return [isa for isa in table.ISAS if any((folder / f"isa_{isa}").glob("*.so")) or any((folder / f"isa_{isa}").glob("*.pyd"))]


def facts() -> dict[str, str]:
    """What `info` prints, by name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    here = [isa for isa in table.ISAS if threads.cpu_supports(isa)]
    return {
        "tlean": f"{tl.__version__}  ({Path(tl.__file__).parent})",
        "Python": f"{platform.python_version()}  ({sys.executable})",
        "NumPy": version("numpy"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "instruction set": f"{table.ISA}  (built: {', '.join(built())}; the processor has {', '.join(here)})",
        "threads": f"{tl.get_num_threads()}  ({cores} cores for this process)",
        "CUDA": cuda(),
    } | {name: version(name) for name in OPTIONAL}


def main(argv: list[str]) -> None:
    """Print the facts."""
    argparse.ArgumentParser(prog="tlean info", description=__doc__).parse_args(argv)
    for name, value in facts().items():
        print(f"{name:16} {value}")
