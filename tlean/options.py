"""How a session or trainer computes."""

from __future__ import annotations

import dataclasses
import operator
import re
from dataclasses import dataclass
from typing import TypedDict, Unpack

from .arguments import flag
from .arguments.literals import Backend, FloatName, Precision
from .dtypes import FLOATS
from .errors import DTypeError, OptionError
from .rng import program_seed


class Changes(TypedDict, total=False):
    """Some of the fields of `Options`, as keyword arguments of what takes them."""

    backend: Backend
    device: str
    dtype: FloatName
    requires_grad_by_default: bool
    seed: int | None
    fast_kernels: bool
    fast_gpu_matmul_precision: Precision
    use_gpu: bool | None
    strict_cuda: bool
    check_numerics: bool
    num_threads: int | None
    deterministic: bool
    strict_shapes: bool


@dataclass(frozen=True)
class Options:
    """How a session computes. Immutable; `replace` makes a changed copy.

    Args:
        backend: "eager" (each op runs at once) or "compiled".
        device: "cpu", "cuda" or "cuda:<number>".
        dtype: "float32" or "float64".
        requires_grad_by_default: what `requires_grad=None` means for parameters and inputs.
        seed: of the session's or trainer's random stream; None for its own stream, which `tl.seed` fixes.
        fast_kernels: False runs the reference definitions instead of the kernels; on a device, fused ops by the ops that make them up.
        fast_gpu_matmul_precision: "fp32", "tf32" or "fp64" for matrix products on a GPU.
        use_gpu: True is the same as device="cuda".
        strict_cuda: accepted; CUDA is always strict (a missing kernel raises).
        check_numerics: raise NumericsError at the first op that makes a NaN or an infinity.
        num_threads: a cap on this session's threads; None = the library's.
        deterministic: False lets a GPU add up the gradients of gathers in any order; all else repeats bit for bit, on the CPU always.
        strict_shapes: elementwise ops take inputs of one shape only; otherwise they broadcast.

    Raises: OptionError for a value outside its range or a contradiction, DTypeError for CUDA with float64.
    """

    backend: Backend = "eager"
    device: str = "cpu"
    dtype: FloatName = "float32"
    requires_grad_by_default: bool = True
    seed: int | None = None
    fast_kernels: bool = True
    fast_gpu_matmul_precision: Precision = "fp32"
    use_gpu: bool | None = None
    strict_cuda: bool = True
    check_numerics: bool = False
    num_threads: int | None = None
    deterministic: bool = True
    strict_shapes: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.backend, str) or self.backend not in ("eager", "compiled"):
            raise OptionError(f"Options: backend must be 'eager' or 'compiled', got {self.backend!r}")
        if not isinstance(self.device, str) or not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise OptionError(f"Options: device must be 'cpu', 'cuda' or 'cuda:<number>', got {self.device!r}")
        flags = ("requires_grad_by_default", "fast_kernels", "use_gpu", "strict_cuda", "check_numerics", "deterministic", "strict_shapes")
        for name in flags:
            value = getattr(self, name)
            if not (value is None and name == "use_gpu"):
                object.__setattr__(self, name, flag("Options", name, value))
        if self.use_gpu and self.device == "cpu":
            default = type(self).__dataclass_fields__["device"].default
            if self.device != default:
                raise OptionError(f"Options: use_gpu=True contradicts device={self.device!r}")
            object.__setattr__(self, "device", "cuda")
        if self.use_gpu is False and self.device != "cpu":
            raise OptionError(f"Options: use_gpu=False contradicts device={self.device!r}")
        if not isinstance(self.dtype, str) or self.dtype not in FLOATS:
            raise OptionError(f"Options: dtype must be 'float32' or 'float64', got {self.dtype!r}")
        if self.device != "cpu" and self.dtype == "float64":
            raise DTypeError("Options: CUDA computes in float32, got dtype='float64'")
        if not isinstance(self.fast_gpu_matmul_precision, str) or self.fast_gpu_matmul_precision not in ("fp32", "tf32", "fp64"):
            raise OptionError(
                f"Options: fast_gpu_matmul_precision must be 'fp32', 'tf32' or 'fp64', got {self.fast_gpu_matmul_precision!r}"
            )
        for name, low, high in (("num_threads", 1, 1 << 31), ("seed", -(1 << 63), 1 << 64)):
            value = getattr(self, name)
            if value is None:
                continue
            try:
                fits = low <= operator.index(value) < high
            except TypeError:
                fits = False
            if not fits:
                raise OptionError(f"Options: {name} must be an int from {low} to {high - 1}, got {value!r}")

    def first_seed(self) -> int:
        """The seed, or where there is none that of the next program (`tl.seed`)."""
        return program_seed() if self.seed is None else self.seed

    def replace(self, **changes: Unpack[Changes]) -> Options:
        """The same options with some changed.

        Args:
            changes: options by name.

        Raises: OptionError for an unknown option or a value outside its range.
        """
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise OptionError(f"there is no option {name!r}; the options are {', '.join(known)}")
        if "device" in changes and "use_gpu" not in changes:
            changes["use_gpu"] = None
        return dataclasses.replace(self, **changes)
