"""Arrays of other libraries: in and out through DLPack, copied unless that is declined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor, as_tensor
from tlean.arguments import flag
from tlean.devices import cuda
from tlean.errors import DTypeError, OptionError

#: The number of DLPack for the memory of the host.
_CPU = 1


def from_dlpack(x: Any, *, copy: bool | None = True) -> Any:
    """An array of what another library holds, by DLPack.

    Args:
        x: an array with `__dlpack__`: of NumPy, PyTorch, JAX, CuPy, …; one on a GPU gives a device array.
        copy: False reads the same memory, which must not be written to from then on: programs take for granted that values never change.
            None copies only what cannot be read in place.

    Raises: DTypeError for something without `__dlpack__`, or a dtype that arrays here do not have; OptionError for memory that cannot be
        shared with `copy=False`: of an array with gaps, at an address that is no multiple of 64, of float16, or of a GPU.

    Example:
        >>> tl.from_dlpack(np.array([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    copied = copy if copy is None else flag("from_dlpack", "copy", copy)
    if isinstance(x, AnyTensor):
        return AnyTensor(x.numpy()) if copied else x
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(f"from_dlpack: an array with __dlpack__ is needed, got {type(x).__name__}")
    if not isinstance(x, np.ndarray) and _device_of(x) != _CPU:
        if copied is False:
            raise OptionError("from_dlpack: copy=False takes an array of the CPU")
        return cuda().to_device(x)
    try:
        view = x if isinstance(x, np.ndarray) else np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise DTypeError(f"from_dlpack: {error}") from None
    made = as_tensor(view, copy=copied is True)
    if copied is False and made.numpy().ctypes.data != view.ctypes.data:
        raise OptionError(
            "from_dlpack: with copy=False the array must be contiguous, of float32, float64, int32, int64 or bool, and at an address that"
            f" is a multiple of 64; got {view.dtype} with strides {view.strides} at {view.ctypes.data:#x}"
        )
    return made


def _device_of(x: Any) -> int:
    # The kind of device that an array with `__dlpack__` says it is on.
    device = x.__dlpack_device__() if hasattr(x, "__dlpack_device__") else None
    if not isinstance(device, tuple) or len(device) != 2 or not isinstance(device[0], int):
        raise DTypeError(f"from_dlpack: __dlpack_device__ must say the kind and the number of the device, got {device!r}")
    return device[0]


def from_torch(x: Any) -> Any:
    """An array with the values of a PyTorch tensor, copied; bfloat16 and float16 are widened to float32.

    Args:
        x: a tensor, of the CPU or a GPU, with or without a gradient.

    Raises: DTypeError for something else.

    Example:
        >>> import torch
        >>> tl.from_torch(torch.ones(2, requires_grad=True)).tolist()
        [1.0, 1.0]
    """
    torch = torch_package("from_torch")
    if not isinstance(x, torch.Tensor):
        raise DTypeError(f"from_torch: a torch.Tensor is needed, got {type(x).__name__}")
    if x.layout is not torch.strided or x.is_meta:
        raise DTypeError(f"from_torch: a dense tensor with values is needed, got layout {x.layout} on device {x.device}")
    x = x.detach().resolve_conj().resolve_neg()
    return from_dlpack((x.float() if x.dtype in (torch.bfloat16, torch.float16) else x).contiguous())


def to_torch(x: Any, *, copy: bool = True) -> Any:
    """A PyTorch tensor with an array's values.

    Args:
        x: an array, anything array-like, or a parameter; of a mapping, such as a state dict, its values.
        copy: False gives a tensor on the same memory, which must not be written to.

    Raises: DTypeError for something that is no array; OptionError for `copy=False` of something else than an array of the CPU.

    Example:
        >>> tl.to_torch(tl.AnyTensor([1.0, 2.0])).sum().item()
        3.0
    """
    torch = torch_package("to_torch")
    copied = flag("to_torch", "copy", copy)
    if isinstance(x, Mapping):
        return {name: to_torch(value, copy=copied) for name, value in x.items()}
    if hasattr(x, "__cuda_array_interface__"):
        return torch.from_dlpack(x)
    if copied:
        return torch.from_numpy(np.array(as_tensor(x).numpy()))
    if not isinstance(x, AnyTensor):
        raise OptionError(f"to_torch: copy=False takes an AnyTensor, got {type(x).__name__}")
    # PyTorch has no read-only memory, and says so at each such tensor.
    return torch.from_dlpack(Shared(x))


class Shared:
    """An array's memory for the `from_dlpack` of another library: what `to_dlpack` returns.

    Args:
        x: the array.
    """

    def __init__(self, x: AnyTensor) -> None:
        # The view keeps the memory where the array is released.
        self._x, self._view = x, x.numpy()
        # The same without the mark that it is read-only, which capsules of version 0 cannot carry.
        self.__array_interface__ = self._view.__array_interface__ | {"data": (self._view.ctypes.data, False)}

    def __dlpack__(self, *, stream: Any = None, max_version: tuple[int, int] | None = None, dl_device: Any = None, copy: Any = None) -> Any:
        if copy:
            return self._x.__dlpack__(max_version=max_version, dl_device=dl_device, copy=True)
        if max_version is not None and max_version[0] >= 1:
            return self._x.__dlpack__(max_version=max_version, dl_device=dl_device, copy=False)
        return np.asarray(self).__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._x.__dlpack_device__()  # type: ignore[no-any-return]


def to_dlpack(x: Any) -> Shared:
    """An array's memory itself, for the `from_dlpack` of a library that would get a copy: of JAX, say, which requests no version.

    What comes of it must not be written to, nor be donated. Without this, `from_dlpack(x)` of any library works, and copies.

    Args:
        x: an array of the CPU.

    Raises: DTypeError for something else.

    Example:
        >>> x = tl.AnyTensor([1.0, 2.0])
        >>> np.from_dlpack(tl.to_dlpack(x)).ctypes.data == x.numpy().ctypes.data
        True
    """
    if not isinstance(x, AnyTensor):
        raise DTypeError(f"to_dlpack: an AnyTensor is needed, got {type(x).__name__}")
    return Shared(x)


def torch_package(name: str) -> Any:
    """The package torch. Raises: ImportError, saying what to install, where it is not installed."""
    try:
        import torch
    except ImportError:
        raise ImportError(f"tl.{name} needs the package torch: pip install torch") from None
    return torch
