"""Compiling a family's source, by nvcc for PyCUDA and by NVRTC for cuda-bindings, and a cache that never believes a damaged file.

An entry's name is the hash of everything that decides its content: source, flags (nvcc's own variables of the environment among them),
architecture, compiler and tlean versions. Its payload
carries its own hash, and it is written to a temporary file and renamed, so that a reader finds a whole entry or none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tlean.errors import DeviceError

from ..kernels import sources
from ..kernels.plan import Family
from . import nvrtc
from .drivers.choice import package

_MAGIC = b"tlean-cubin-1\n"


def nvcc() -> str:
    """The compiler's command: `TLEAN_NVCC`, or nvcc from the path."""
    return os.environ.get("TLEAN_NVCC") or "nvcc"


def flags(family: Family) -> list[str]:
    """The compiler's options for a family, without the architecture.

    Elementwise formulas are computed as they are written, so that they agree with the CPU; products may contract.
    """
    return ["-O3", "-std=c++17", f"-fmad={'true' if family.contract else 'false'}"]


def cache_folder() -> Path:
    """Where compiled kernels are kept: `TLEAN_CACHE_DIR`, or `tlean` in the user's cache folder."""
    chosen = os.environ.get("TLEAN_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tlean"


@functools.cache
def _version() -> str:
    try:
        return importlib.metadata.version("tlean")
    except importlib.metadata.PackageNotFoundError:
        return "source tree"


def cache_key(source: str, options: list[str], arch: str, compiler: str) -> str:
    """The name of an entry; `compiler` is the text that the compiler prints as its version."""
    environment = (os.environ.get(f"NVCC_{which}_FLAGS", "") for which in ("PREPEND", "APPEND"))
    parts = (source, "\0".join(options), arch, compiler, _version(), *environment)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(len(part)).encode() + b":" + part.encode())
    return digest.hexdigest()


def read_entry(path: Path) -> bytes | None:
    """The cubin of an entry, or None where there is none that is whole."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    head, payload = found[: len(_MAGIC) + 32], found[len(_MAGIC) + 32 :]
    return payload if payload and head == _MAGIC + hashlib.sha256(payload).digest() else None


def write_entry(path: Path, payload: bytes) -> None:
    """Put an entry in place as a whole. A folder that cannot be written leaves the cache as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(payload).digest() + payload)
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()


def _by_nvrtc() -> bool:
    return package() == "cuda-bindings"


def compiler_version() -> str:
    """What the compiler says its version is. Raises: DeviceError where there is none."""
    if _by_nvrtc():
        return nvrtc.compiler_version()
    from pycuda.compiler import get_nvcc_version

    try:
        return str(get_nvcc_version(nvcc()))
    except OSError as error:
        raise DeviceError(
            f"CUDA: the compiler {nvcc()!r} does not run ({error}); install the CUDA toolkit, or name it in TLEAN_NVCC; "
            "`pip install 'tlean[cuda-wheels]'` with TLEAN_CUDA_DRIVER=cuda-bindings needs none"
        ) from None


def require_driver(version: int) -> None:
    """Look whether a driver loads what the compiler makes.

    Args:
        version: the driver's, as it gives it: 12040 is 12.4.

    Raises: DeviceError where the driver is of an older major version than the compiler, or there is no compiler.
    """
    found = re.search(r"release (\d+)\.(\d+)", compiler_version())
    if found and int(found[1]) > version // 1000:
        name, older = repr(nvcc()), "name an older compiler in TLEAN_NVCC"
        if _by_nvrtc():
            name, older = "NVRTC", f"pip install 'tlean[cuda{version // 1000}-wheels]'"
        raise DeviceError(
            f"CUDA: the driver must be as new as the compiler, but it is for CUDA {version // 1000}.{version % 1000 // 10} and {name} "
            f"is of {found[1]}.{found[2]}; update the NVIDIA driver, or {older}"
        )


@functools.cache
def _known(compiler: str) -> tuple[int, ...]:
    # The architectures that a compiler knows: 90 is sm_90. None where it does not tell.
    found = subprocess.run([compiler, "--list-gpu-arch"], capture_output=True, text=True, check=False)
    return tuple(int(n) for n in re.findall(r"compute_(\d+)\b", found.stdout)) if found.returncode == 0 else ()


def target(arch: str, known: tuple[int, ...]) -> tuple[str, str]:
    """What to compile for a device where the compiler may be older: (architecture, "cubin" or "ptx").

    A device runs the kernels of an earlier one of its generation; of an older generation it takes PTX, which the driver compiles.
    """
    number = int(re.sub(r"\D", "", arch))
    older = [n for n in known if n < number]
    if number in known or not older:
        return arch, "cubin"
    kin = [n for n in older if n // 10 == number // 10]
    return (f"sm_{max(kin)}", "cubin") if kin else (f"compute_{max(older)}", "ptx")


def compile_family(family: Family, arch: str) -> bytes:
    """The cubin of a family for an architecture such as `sm_90`, from the cache or by the compiler; PTX where that does not know it.

    Raises: DeviceError where the compiler is missing or refuses the source.
    """
    by_nvrtc, version = _by_nvrtc(), compiler_version()
    options = nvrtc.flags(family) if by_nvrtc else flags(family)
    arch, kind = target(arch, nvrtc.known() if by_nvrtc else _known(nvcc()))
    path = cache_folder() / f"{family.name}-{cache_key(family.source, options, arch, version)[:40]}.cubin"
    cubin = read_entry(path)
    if cubin is None:
        make = nvrtc.compiled if by_nvrtc else _compiled
        cubin = make(family.name, family.source, options, arch, kind)
        write_entry(path, cubin)
    return cubin


def _compiled(name: str, source: str, options: list[str], arch: str, kind: str) -> bytes:
    # As `nvrtc.compiled`.
    from pycuda.compiler import compile as build
    from pycuda.driver import CompileError

    how = {"nvcc": nvcc(), "options": options, "no_extern_c": True, "arch": arch, "cache_dir": False, "target": kind}
    try:
        return bytes(build(source, **how))
    except CompileError as error:
        raise DeviceError(f"CUDA: {nvcc()} cannot compile the kernels {name!r} for {arch}: {error}") from None


def compile_everything(arch: str, workers: int | None = None) -> int:
    """Fill the cache with every kernel for an architecture; how many families there are. Raises: DeviceError."""
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        return len(list(pool.map(lambda family: compile_family(family, arch), sources().values())))


if __name__ == "__main__":
    import sys

    # python -m tlean.cuda.runtime.nvcc sm_90: compiles all kernels ahead of their first use.
    for _arch in sys.argv[1:]:
        print(f"{compile_everything(_arch)} families of kernels for {_arch} in {cache_folder()}")
