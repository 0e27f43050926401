"""The ops on device arrays, with no tape.

An op whose kernel is not in the table raises: nothing is ever computed on the host instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tlean._generated.methods import OpsMethods
from tlean.errors import OptionError, complete
from tlean.ops import OpDef, Spec, get

from ..kernels.plan import Mode
from ..runtime.array import DeviceArray, to_device
from ..runtime.context import context
from ..runtime.values import require_here
from .call import call_of
from .table import EXACT, family_of

if TYPE_CHECKING:
    from tlean.cuda.runtime.context import Context


class CudaOps(OpsMethods):
    """Every op on device arrays, with no tape: `CudaOps().matmul(a, b)`.

    An op without its own kernel whose decomposition has kernels runs those; a missing kernel raises.

    Args:
        device: the number of the device.
        mode: how the kernels compute.
    """

    dtype = "float32"

    def __init__(self, device: int = 0, mode: Mode = EXACT) -> None:
        self.context: Context = context(device)
        self.mode = mode

    def leaf(self, value: Any, name: str | None = None) -> DeviceArray:
        """A value on the device. Raises: DeviceError for an array of another device."""
        return require_here(value, self.context) if isinstance(value, DeviceArray) else to_device(value, self.context)

    _own_constant = leaf

    def apply(self, op: str | OpDef, inputs: Sequence[Any], options: dict[str, Any], name: str | None = None) -> Any:
        """One op: a device array, or a tuple of them for an op with several outputs."""
        made = self.apply_all(op, inputs, options)
        n = len(get(op).outputs)
        return tuple(made[:n]) if n > 1 else made[0]

    def apply_all(self, op: str | OpDef, inputs: Sequence[Any], options: dict[str, Any]) -> list[DeviceArray]:
        """One op's outputs, then its residuals.

        Raises: what the op raises; DeviceError where a kernel is missing or an array is on another device; DTypeError for float64 (kernels
            compute in float32); OptionError for a random op without a seed.
        """
        record = get(op)
        arrays = [None if x is None else self.leaf(x) for x in inputs]
        specs = tuple(None if a is None else Spec(a.shape, a.dtype) for a in arrays)
        if record.random and arrays[record.inputs.index("seed")] is None:
            error = OptionError("takes a seed: there is no stream of random numbers on the device")
            raise complete(error, record.name.lstrip("_"), [], options)
        call = call_of(record, specs, options, self.mode)
        if record.host is not None and record.cuda is None and record.rules.decompose is None:
            # It has no kernel, which this reports.
            family_of(record, self.mode)
        return call.run(self.context, arrays)
