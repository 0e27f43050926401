"""Calling one op's kernel directly, with no tape, plan or session in between."""

from __future__ import annotations

import ctypes
import importlib
from pathlib import Path

import numpy as np

from tlean.errors import IndexRangeError
from tlean.ops.registry import Spec, get

KERNEL = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_int64),
    ctypes.POINTER(ctypes.c_double),
    ctypes.c_int,
)
FLOATS = {"f32": np.float32, "f64": np.float64}
NEEDS = {"base": set(), "avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512dq", "avx512bw", "avx512vl"}}


def usable_instruction_sets(module: str) -> list[str]:
    """The instruction sets that this machine runs and that kernel module was built for."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return [isa for isa, needed in NEEDS.items() if needed <= flags and importlib.util.find_spec(f"tlean._core.isa_{isa}.{module}")]


def last_cache_bytes() -> int:
    """The size of the last-level cache, as the kernels see it (streaming.h)."""
    sizes = [Path(f"/sys/devices/system/cpu/cpu0/cache/index{level}/size") for level in (3, 2)]
    found = [int(size.read_text().strip().rstrip("K")) << 10 for size in sizes if size.exists()]
    return found[0] if found else 32 << 20


class Call:
    """One call of an op's kernel, prepared: `Call(…)()` runs it, `.outs` are its outputs.

    Floating-point arguments are cast to the suffix's dtype. Outputs start as NaN or −1, so that an element never written shows; `unread`
    names outputs whose pointer is NULL. Inputs left out are absent.
    """

    def __init__(self, isa: str, module: str, name: str, suffix: str, args: tuple, unread: tuple[int, ...] = (), **options: object):
        op = get(name)
        args += (None,) * (0 if op.variadic else len(op.inputs) - len(args))
        dtype = FLOATS.get(suffix, np.float32)
        self.args = [None if a is None else np.asarray(a, dtype if np.asarray(a).dtype.kind == "f" else None, order="C") for a in args]
        kinds = ["float" if a is None or a.dtype.kind == "f" else str(a.dtype) for a in self.args]
        specs = tuple(None if a is None else Spec(a.shape, k) for a, k in zip(self.args, kinds, strict=True))
        clean, outs = op.infer(specs, options)
        ints, floats = op.kernel_params(specs, clean)
        found = [(o.shape, dtype if o.dtype == "float" else o.dtype) for o in outs]
        self.outs = [np.full(shape, np.nan if np.dtype(kind).kind == "f" else -1, kind) for shape, kind in found]
        kernels = importlib.import_module(f"tlean._core.isa_{isa}.{module}").KERNELS
        self.function = KERNEL(kernels[f"{op.kernel}:{suffix}"])
        self.out_pointers = (ctypes.c_void_p * len(outs))(*[None if k in unread else o.ctypes.data for k, o in enumerate(self.outs)])
        self.in_pointers = (ctypes.c_void_p * max(len(args), 1))(*[None if a is None else a.ctypes.data for a in self.args])
        self.ints = (ctypes.c_int64 * max(len(ints), 1))(*ints)
        self.floats = (ctypes.c_double * max(len(floats), 1))(*floats)

    def __call__(self) -> int:
        return self.function(self.out_pointers, self.in_pointers, self.ints, self.floats, 0)


def run_op(isa: str, module: str, name: str, suffix: str, *args: object, **options: object) -> np.ndarray:
    """The first output of one call."""
    call = Call(isa, module, name, suffix, args, **options)
    code = call()
    if code == 1:
        raise IndexRangeError(f"{name}: an index is out of range")
    assert code == 0
    return call.outs[0]
