"""NVRTC, the CUDA compiler that is a library: cuda-bindings calls it, and neither the CUDA toolkit nor a C++ compiler is needed.

It has no header files. What sources take from those of nvcc without an `#include` is in a header of ours that it reads first.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

from tlean.errors import DeviceError

from ..kernels.plan import Family

_HEADER = "tlean.h"
_PRELUDE = """
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fc00000)
#define HUGE_VALF INFINITY
#define HUGE_VAL __longlong_as_double(0x7ff0000000000000ll)
#define M_E 2.7182818284590452354
#define M_LOG2E 1.4426950408889634074
#define M_LOG10E 0.43429448190325182765
#define M_LN2 0.69314718055994530942
#define M_LN10 2.30258509299404568402
#define M_PI 3.14159265358979323846
#define M_PI_2 1.57079632679489661923
#define M_PI_4 0.78539816339744830962
#define M_1_PI 0.31830988618379067154
#define M_2_PI 0.63661977236758134308
#define M_2_SQRTPI 1.12837916709551257390
#define M_SQRT2 1.41421356237309504880
#define M_SQRT1_2 0.70710678118654752440
#define CHAR_BIT 8
#define INT_MAX 2147483647
#define INT_MIN (-INT_MAX - 1)
#define UINT_MAX 4294967295u
#define LLONG_MAX 9223372036854775807ll
#define LLONG_MIN (-LLONG_MAX - 1ll)
#define ULLONG_MAX 18446744073709551615ull
#define FLT_EPSILON 1.1920928955078125e-7f
#define FLT_MAX 3.40282346638528859812e+38f
#define FLT_MIN 1.17549435082228750797e-38f
#define DBL_EPSILON 2.22044604925031308085e-16
#define DBL_MAX 1.79769313486231570815e+308
#define DBL_MIN 2.22507385850720138309e-308
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
"""
#: What a source may include, though it needs none of them: the prelude has what they are included for.
_EMPTY = ("cfloat", "climits", "cmath", "cstddef", "cstdint", "cuda_runtime.h", "float.h", "limits.h", "math.h", "stddef.h", "stdint.h")
_SUCCESS = 0


def _library() -> Any:
    from cuda.bindings import nvrtc

    return nvrtc


def _answer(call: Any, *arguments: Any) -> Any:
    status, *found = call(*arguments)
    if int(status) != _SUCCESS:
        text = _library().nvrtcGetErrorString(status)[1].decode(errors="replace")
        raise DeviceError(f"CUDA: NVRTC's {call.__name__} failed: {text}")
    return found[0] if len(found) == 1 else tuple(found)


def release() -> tuple[int, int]:
    """The version: (13, 0). Raises: DeviceError where the library is missing."""
    try:
        major, minor = _answer(_library().nvrtcVersion)
    except RuntimeError as error:
        # The package looks for the library at the first call.
        raise DeviceError(
            f"CUDA: NVRTC, the compiler of kernels, cannot be loaded ({error}); pip install 'tlean[cuda-wheels]' brings it"
        ) from None
    return major, minor


def compiler_version() -> str:
    """What tells one build of the compiler from another, as far as it says. Raises: DeviceError where it is missing."""
    major, minor = release()
    try:
        build = importlib.metadata.version("nvidia-cuda-nvrtc" if major > 12 else f"nvidia-cuda-nvrtc-cu{major}")
    except importlib.metadata.PackageNotFoundError:
        build = "of the system"
    return f"NVRTC release {major}.{minor}, {build}\n{_PRELUDE}"


def known() -> tuple[int, ...]:
    """The architectures that it compiles for: 90 is sm_90."""
    return tuple(_answer(_library().nvrtcGetSupportedArchs))


def flags(family: Family) -> list[str]:
    """The options for a family, without the architecture; see `nvcc.flags`."""
    return ["--std=c++17", f"--fmad={'true' if family.contract else 'false'}", f"--pre-include={_HEADER}"]


def compiled(name: str, source: str, options: list[str], arch: str, kind: str) -> bytes:
    """The code of a source.

    Args:
        name: for messages.
        options: see `flags`.
        arch: "sm_90", or "compute_90" for PTX.
        kind: "cubin" or "ptx".

    Raises: DeviceError with what the compiler says.
    """
    library = _library()
    headers = [_PRELUDE.encode(), *[b"\n"] * len(_EMPTY)]
    names = [text.encode() for text in (_HEADER, *_EMPTY)]
    program = _answer(library.nvrtcCreateProgram, source.encode(), f"{name}.cu".encode(), len(headers), headers, names)
    try:
        given = [option.encode() for option in (*options, f"--gpu-architecture={arch}")]
        (status,) = library.nvrtcCompileProgram(program, len(given), given)
        if int(status) != _SUCCESS:
            log = _text(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program).rstrip(b"\0\n").decode(errors="replace")
            why = log or library.nvrtcGetErrorString(status)[1].decode(errors="replace")
            raise DeviceError(f"CUDA: NVRTC cannot compile the kernels {name!r} for {arch}: {why}")
        if kind == "ptx":
            return _text(library.nvrtcGetPTXSize, library.nvrtcGetPTX, program)
        return _text(library.nvrtcGetCUBINSize, library.nvrtcGetCUBIN, program)
    finally:
        library.nvrtcDestroyProgram(program)


def _text(size: Any, fill: Any, program: Any) -> bytes:
    memory = bytearray(_answer(size, program))
    _answer(fill, program, memory)
    return bytes(memory)
