"""Compiling a family's source with nvcc, and a cache of what came out that never believes a damaged file.

An entry's name is the hash of everything that decides its content: source, flags, architecture, compiler and tlean versions. Its payload
carries its own hash, and it is written to a temporary file and renamed, so that a reader finds a whole entry or none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import tempfile
from pathlib import Path

from ..errors import DeviceError
from .kernels.plan import Family

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
    parts = (source, "\0".join(options), arch, compiler, _version())
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


def compile_family(family: Family, arch: str) -> bytes:
    """The cubin of a family for an architecture such as `sm_90`, from the cache or by the compiler.

    Raises: DeviceError where the compiler is missing or refuses the source.
    """
    from pycuda.compiler import compile as build
    from pycuda.compiler import get_nvcc_version
    from pycuda.driver import CompileError

    options = flags(family)
    try:
        version = get_nvcc_version(nvcc())
    except OSError as error:
        raise DeviceError(
            f"CUDA: the compiler {nvcc()!r} does not run ({error}); install the CUDA toolkit, or name it in TLEAN_NVCC"
        ) from None
    path = cache_folder() / f"{family.name}-{cache_key(family.source, options, arch, version)[:40]}.cubin"
    cubin = read_entry(path)
    if cubin is None:
        try:
            cubin = bytes(build(family.source, nvcc=nvcc(), options=options, no_extern_c=True, arch=arch, cache_dir=False))
        except CompileError as error:
            raise DeviceError(f"CUDA: {nvcc()} cannot compile the kernels {family.name!r} for {arch}: {error}") from None
        write_entry(path, cubin)
    return cubin


def compile_everything(arch: str, workers: int | None = None) -> int:
    """Fill the cache with every kernel for an architecture; how many families there are. Raises: DeviceError."""
    from concurrent.futures import ThreadPoolExecutor

    from .kernels import sources

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        return len(list(pool.map(lambda family: compile_family(family, arch), sources().values())))


if __name__ == "__main__":
    import sys

    # python -m tlean.cuda.compile sm_90: compiles all kernels ahead of their first use.
    for _arch in sys.argv[1:]:
        print(f"{compile_everything(_arch)} families of kernels for {_arch} in {cache_folder()}")
