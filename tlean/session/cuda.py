"""The sessions of a device: every op runs there at once, or a step as one plan; what they make stays there until it is read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from tlean._core.plan.commit import Commit
from tlean.cuda.eager import CudaEager
from tlean.cuda.kernels.plan import Mode
from tlean.cuda.runtime.array import DeviceArray
from tlean.devices import context_of, device_array, target_of
from tlean.errors import DeviceError
from tlean.optim.gradients import Gradients
from tlean.options import Changes, Options
from tlean.param import Param

from .base import Session, options_of
from .compiled import CompiledSession


class CudaSession(Session, CudaEager, runs=("eager", "cuda")):
    """A session whose ops run at once on a device. Made by `Session(device="cuda")`."""

    def __init__(self, options: Options | None = None, **changes: Unpack[Changes]) -> None:
        self.options: Options = options_of(options, changes)
        where = context_of(self.options.device)
        if where is None:
            raise DeviceError(f"Session: a device is expected, got {self.options.device!r}")
        mode = Mode(self.options.fast_gpu_matmul_precision, self.options.deterministic)
        CudaEager.__init__(self, where, seed=self.options.first_seed(), mode=mode, fused=self.options.fast_kernels)
        self.check_numerics: bool = self.options.check_numerics
        self.strict_shapes: bool = self.options.strict_shapes
        self._uses = {}
        self._one = device_array(1.0, self.dtype, where)

    def array(self, x: Any, dtype: str | None = None) -> DeviceArray:
        """A value as an array of the session's device: one of the host is copied there. Raises: DTypeError, ShapeError."""
        # The seed of every scalar loss.
        return self._one if type(x) is float and x == 1.0 and dtype == self.dtype else device_array(x, dtype, self.context)

    def _value_of(self, p: Param) -> DeviceArray:
        return p._on_device(self.context)

    def reset_tape(self) -> None:
        """Forget every node; references made before raise NodeError from now on. Parameters stay."""
        CudaEager.reset_tape(self)
        self._uses = {}

    def spec_of(self, i: int) -> tuple[tuple[int, ...], str]:
        """(shape, dtype) of node i."""
        value = self.store.at(i).value
        return value.shape, value.dtype

    def _backward(self, out: Any, seed: DeviceArray, params_only: bool) -> Gradients:
        return Gradients(self.sweep(out.id, seed, params_only), self)

    def __repr__(self) -> str:
        return f"<Session: eager on {self.options.device}, {self.dtype}, {len(self.store)} nodes>"


class CompiledCudaSession(CompiledSession, runs=("compiled", "cuda")):
    """A session whose step runs as one plan on a device. Made by `Session(backend="compiled", device="cuda")`.

    Values of the host are copied to the device by the plan that reads them.
    """

    use: Callable[..., Any] = Session.use

    def __init__(self, options: Options | None = None, **changes: Unpack[Changes]) -> None:
        super().__init__(options, **changes)
        target: Any = target_of(
            self.options.device, self.options.fast_gpu_matmul_precision, self.options.deterministic, self.options.fast_kernels
        )
        self._target, self._where = target, target.where
        self._one = device_array(1.0, self.dtype, self._where)

    def array(self, x: Any, dtype: str | None = None) -> DeviceArray:
        """A value as an array of the session's device: one of the host is copied there. Raises: DTypeError, ShapeError."""
        # The seed of every scalar loss.
        return self._one if type(x) is float and x == 1.0 and dtype == self.dtype else device_array(x, dtype, self._where)

    def _value_of(self, p: Param) -> DeviceArray:
        # An array of the tape's own: what it has read stays when the parameter moves.
        return p._on_device(self._where).shared()

    def _apart(self, grads: Any) -> Any:
        return self._by_param(grads)

    def _states(self, update: Any, p: Param, kernel: str) -> tuple[Sequence[Any], tuple[float, ...]]:
        states, hyper = update.peek(p, kernel, self._where)
        if states and not all(s.alone for s in states):
            states = update.state.moments[p] = tuple(s.owned() for s in states)
        return states, hyper

    def _note_value(self, changes: Commit, p: Param, number: int) -> None:
        changes.output(p, "_mirror", number)
        p._moves(changes)
