"""The PyTorch-like face: `Options`, `Session`, `Param`, and the references that a session hands out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tlean._core.array import AnyTensor, as_tensor
from tlean._core.threads import cap_threads

from .backends.eager import EagerOps, TensorRef
from .errors import DeviceError, DTypeError, NodeError, OptionError, ShapeError


@dataclass(frozen=True)
class Options:
    """How a session computes. Immutable; `replace` makes a changed copy.

    Args:
        backend: "eager" (each op runs at once) or "compiled".
        device: "cpu", "cuda" or "cuda:<number>".
        dtype: "float32" or "float64".
        requires_grad_by_default: what `requires_grad=None` means for parameters and inputs.
        seed: of the session's random stream.
        fast_kernels: False runs the reference definitions instead of the kernels.
        fast_gpu_matmul_precision: "fp32", "tf32" or "fp64" for matrix products on a GPU.
        use_gpu: True is the same as device="cuda".
        strict_cuda: accepted; CUDA is always strict (a missing kernel raises).
        check_numerics: raise NumericsError at the first op that makes a NaN or an infinity.
        num_threads: a cap on this session's threads; None = the library's.
        deterministic: accepted; results always repeat bit for bit on the CPU.

    Raises: OptionError for a value outside its range or a contradiction, DTypeError for CUDA with float64.
    """

    backend: str = "eager"
    device: str = "cpu"
    dtype: str = "float32"
    requires_grad_by_default: bool = True
    seed: int = 0
    fast_kernels: bool = True
    fast_gpu_matmul_precision: str = "fp32"
    use_gpu: bool | None = None
    strict_cuda: bool = True
    check_numerics: bool = False
    num_threads: int | None = None
    deterministic: bool = True

    def __post_init__(self) -> None:
        if self.backend not in ("eager", "compiled"):
            raise OptionError(f"Options: backend is 'eager' or 'compiled', got {self.backend!r}")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", str(self.device)):
            raise OptionError(f"Options: device is 'cpu', 'cuda' or 'cuda:<number>', got {self.device!r}")
        if self.use_gpu and self.device == "cpu":
            default = type(self).__dataclass_fields__["device"].default
            if self.device != default:
                raise OptionError(f"Options: use_gpu=True contradicts device={self.device!r}")
            object.__setattr__(self, "device", "cuda")
        if self.use_gpu is False and self.device != "cpu":
            raise OptionError(f"Options: use_gpu=False contradicts device={self.device!r}")
        if self.dtype not in ("float32", "float64"):
            raise OptionError(f"Options: dtype is 'float32' or 'float64', got {self.dtype!r}")
        if self.device != "cpu" and self.dtype == "float64":
            raise DTypeError("Options: CUDA computes in float32, got dtype='float64'")
        if self.fast_gpu_matmul_precision not in ("fp32", "tf32", "fp64"):
            raise OptionError(f"Options: fast_gpu_matmul_precision is 'fp32', 'tf32' or 'fp64', got {self.fast_gpu_matmul_precision!r}")
        if self.num_threads is not None and int(self.num_threads) < 1:
            raise OptionError(f"Options: num_threads is at least 1, got {self.num_threads!r}")

    def replace(self, **changes: Any) -> Options:
        """The same options with some changed."""
        if "device" in changes and "use_gpu" not in changes:
            changes["use_gpu"] = None
        return dataclasses.replace(self, **changes)


class Param:
    """A trainable array that outlives tapes.

    Args:
        value: the initial value (copied).
        name: for messages and checkpoints.
        requires_grad: False freezes it; None takes the session's default.
        dtype: "float32" or "float64"; by default float64 values stay float64 and all others become float32.
    """

    __slots__ = ("_tensor", "_version", "name", "requires_grad")

    def __init__(self, value: Any, name: str | None = None, requires_grad: bool | None = None, *, dtype: str | None = None) -> None:
        if dtype is None:
            dtype = "float64" if getattr(value, "dtype", None) == "float64" else "float32"
        self._tensor = as_tensor(value, dtype)
        if isinstance(value, AnyTensor):
            self._tensor = as_tensor(value.numpy().copy(), dtype)
        self._version = 0
        self.name = name
        self.requires_grad = requires_grad

    @property
    def shape(self) -> tuple[int, ...]:
        return self._tensor.shape

    @property
    def dtype(self) -> str:
        return self._tensor.dtype

    def get(self, sync: bool = True) -> AnyTensor:
        """The value now, as an array of its own: later updates do not change it."""
        return as_tensor(self._tensor.numpy())

    def set(self, value: Any) -> None:
        """Replace the value. Raises: ShapeError if the shape differs, DTypeError for a dtype that does not cast."""
        new = as_tensor(value, self.dtype)
        if new.shape != self.shape:
            raise ShapeError(f"Param.set: {self.name or 'the parameter'} has shape {self.shape}, got {new.shape}")
        self._tensor = as_tensor(new.numpy()) if isinstance(value, AnyTensor) else new
        self._version += 1

    def release(self) -> None:
        """Give the memory back; the parameter cannot be used afterwards."""
        self._tensor.release()
        self._version += 1

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.get().__array__(dtype, copy)

    def __repr__(self) -> str:
        return f"Param({self.name or ''}{': ' if self.name else ''}{self.shape} {self.dtype}{'' if self.requires_grad is not False else ', frozen'})"


class NatRef:
    """A non-negative integer of a session that ops take as an index; it has no gradient and goes with `reset_tape`."""

    __slots__ = ("_generation", "_session", "_value")

    def __init__(self, session: Session, value: Any) -> None:
        self._session = session
        self._generation = session.generation
        self._value = _naturals(value, ())

    def __tlean_value__(self, ops: Any) -> AnyTensor:
        # What an op that takes this as an index reads, at the moment it is recorded.
        if ops is not self._session:
            raise NodeError("an index belongs to another session")
        return self._session._nat(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._value.tolist()})"


class NatVecRef(NatRef):
    """A vector of non-negative integers of a session that ops take as indices."""

    __slots__ = ()

    def __init__(self, session: Session, values: Any) -> None:
        self._session = session
        self._generation = session.generation
        self._value = _naturals(values, None)


def _naturals(value: Any, shape: tuple[int, ...] | None) -> AnyTensor:
    tensor = as_tensor(value, "int64")
    if (shape is not None and tensor.shape != shape) or (shape is None and len(tensor.shape) != 1):
        raise ShapeError(f"an index is {'one integer' if shape == () else 'a vector of integers'}, got shape {tensor.shape}")
    if tensor.size and int(tensor.numpy().min()) < 0:
        raise OptionError(f"an index is a natural number, got {tensor.numpy().min()}")
    return tensor


class Gradients(Sequence):
    """Gradients of one backward pass, by node id: one array for every node."""

    __slots__ = ("_found", "_like", "_session_generation")

    def __init__(self, found: list[AnyTensor | None], store: Any, generation: int) -> None:
        self._found = found
        self._like = store
        self._session_generation = generation

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        i = i.__index__()
        if self._found[i] is None:
            import numpy as np

            like = self._like.value(i if i >= 0 else i + len(self))
            self._found[i] = as_tensor(np.zeros(like.shape, like.dtype))
        return self._found[i]

    def reached(self, i: int) -> AnyTensor | None:
        """The gradient of node i, or None if nothing arrived there."""
        return self._found[i]

    def __iter__(self) -> Iterator[AnyTensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<gradients of {len(self)} nodes>"


class Session(EagerOps):
    """A tape with parameters, inputs and optimiser steps. Every op of the library is a method.

    A session belongs to one thread. Work it does on several threads gives the same bits as on one.

    Args:
        options: an `Options`; keyword arguments change single fields.
    """

    def __new__(cls, options: Options | None = None, **changes: Any) -> Session:
        options = (options or Options()).replace(**changes) if changes else options or Options()
        if options.device != "cpu":
            raise DeviceError(f"Session: device {options.device!r} needs a CUDA build of the kernels, which this version does not have")
        if options.backend == "compiled":
            raise OptionError("Session: the compiled session is not part of this version; use backend='eager'")
        return super().__new__(cls)

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        self.options = (options or Options()).replace(**changes) if changes else options or Options()
        super().__init__(self.options.dtype, None, self.options.seed)
        self.check_numerics = self.options.check_numerics
        self._uses: dict[int, tuple[Param, int]] = {}

    # Leaves ---------------------------------------------------------------------------------------------------------------

    def param(self, value: Any, name: str | None = None, requires_grad: bool | None = None) -> Param:
        """A new parameter of the session's dtype."""
        if requires_grad is None:
            requires_grad = self.options.requires_grad_by_default
        return Param(value, name, requires_grad, dtype=self.dtype)

    def use(self, p: Param) -> TensorRef:
        """A leaf with the parameter's value. Used twice, its gradients are summed and it is updated once."""
        if not isinstance(p, Param):
            raise NodeError(f"use: a Param is expected, got {type(p).__name__}")
        if p.dtype != self.dtype:
            raise DTypeError(f"use: the session computes in {self.dtype}, got {p!r}")
        flows = self.options.requires_grad_by_default if p.requires_grad is None else p.requires_grad
        ref = self.add_leaf(p._tensor, flows, p.name)
        if ref.id is not None:
            self._uses[ref.id] = (p, p._version)
        return ref

    def use_all(self, params: Sequence[Param]) -> list[TensorRef]:
        """A leaf for each parameter."""
        return [self.use(p) for p in params]

    def input(self, x: Any, name: str | None = None, requires_grad: bool | None = None) -> TensorRef:
        """A leaf with this value (copied, cast to the session's dtype)."""
        flows = self.options.requires_grad_by_default if requires_grad is None else requires_grad
        return self.leaf(x, flows, name)

    def input_all(self, xs: Sequence[Any]) -> list[TensorRef]:
        """A leaf for each value."""
        return [self.input(x) for x in xs]

    # Indices --------------------------------------------------------------------------------------------------------------

    def _nat(self, ref: NatRef) -> AnyTensor:
        if ref._session is not self or ref._generation != self.generation:
            raise NodeError("an index belongs to another session or is from before reset_tape")
        return ref._value

    def input_nat(self, value: int) -> NatRef:
        """An index that can be set anew."""
        return NatRef(self, value)

    def input_nat_vec(self, values: Sequence[int]) -> NatVecRef:
        """A vector of indices that can be set anew."""
        return NatVecRef(self, values)

    def get_nat(self, ref: NatRef) -> int:
        """The index now."""
        return int(self._nat(ref))

    def get_nat_vec(self, ref: NatVecRef) -> list[int]:
        """The indices now."""
        return self._nat(ref).tolist()

    def set_nat(self, ref: NatRef, value: int) -> None:
        """Set the index for ops recorded from now on."""
        self._nat(ref)
        ref._value = _naturals(value, ())

    def set_nat_vec(self, ref: NatVecRef, values: Sequence[int]) -> None:
        """Set the indices for ops recorded from now on. Raises: ShapeError for another length."""
        new = _naturals(values, None)
        if new.shape != self._nat(ref).shape:
            raise ShapeError(f"set_nat_vec: {self._nat(ref).shape[0]} indices are expected, got {new.shape[0]}")
        ref._value = new

    def reset_tape(self) -> None:
        """Forget every node; references made before raise NodeError from now on. Parameters stay."""
        super().reset_tape()
        self._uses = {}

    def release(self) -> None:
        """Forget every node and give the memory back."""
        self.reset_tape()

    # Randomness -----------------------------------------------------------------------------------------------------------

    def init_rng(self, seed: int) -> None:
        """Start the session's random stream anew from this seed."""
        self.session_seed = int(seed)
        self.stream_position = 0

    def split_rng(self) -> Any:
        """A `tl.Rng` of its own, whose numbers are independent of the session's stream from here on."""
        from .rng import Rng

        return Rng(self.next_seed())

    # Gradients ------------------------------------------------------------------------------------------------------------

    def _check_params(self) -> None:
        for id, (p, version) in self._uses.items():
            if p._version != version:
                raise NodeError(f"backward: {p!r} was updated after node {id} read it; record the step again (reset_tape)")

    def backward_dense_all(self, out: TensorRef, seed: Any) -> Gradients:
        """Gradients of `out` with the cotangent `seed` for every node of the tape.

        Raises: NodeError for a reference of another session or from before `reset_tape`, or a parameter that was updated since; ShapeError.
        """
        return Gradients(self._sweep(out, seed, False), self.store, self.generation)

    def _sweep(self, out: TensorRef, seed: Any, free: bool) -> list[AnyTensor | None]:
        self.require(out)
        if out.id is None:
            raise NodeError("backward: the value was computed under no_grad and is not on the tape")
        self._check_params()
        g = as_tensor(seed, out.dtype)
        if g.shape != out.shape:
            raise ShapeError(f"backward: the cotangent has the output's shape {out.shape}, got {g.shape}")
        with _threads(self.options.num_threads):
            return self.store.backward(out.id, g, -1, free)

    def _sweep_scalar(self, loss: TensorRef, free: bool = False) -> list[AnyTensor | None]:
        self.require(loss)
        if loss.shape != ():
            raise ShapeError(f"backward_scalar: the loss is a scalar, got shape {loss.shape}; reduce it or use backward_dense_all")
        return self._sweep(loss, 1.0, free)

    def backward_scalar_dense_all(self, loss: TensorRef) -> Gradients:
        """Gradients of a scalar for every node of the tape."""
        return Gradients(self._sweep_scalar(loss), self.store, self.generation)

    def backward_scalar(self, loss: TensorRef) -> dict[int, AnyTensor]:
        """Gradients of a scalar, keyed by node id; only the nodes that something reached."""
        return {i: g for i, g in enumerate(self._sweep_scalar(loss)) if g is not None}

    def backward_params(self, loss: TensorRef) -> dict[Param, AnyTensor]:
        """Gradients of a scalar for the parameters alone; the memory of all others is given back as the sweep passes."""
        found = self._sweep_scalar(loss, free=True)
        return self._by_param({i: found[i] for i in self._uses if found[i] is not None})

    def _by_param(self, grads: Any) -> dict[Param, AnyTensor]:
        # A parameter used twice: its leaves' gradients are summed, in the order of use.
        if isinstance(grads, Gradients):
            if grads._session_generation != self.generation:
                raise NodeError("these gradients are from before reset_tape")
            grads = {i: grads.reached(i) for i in self._uses}
        total: dict[Param, AnyTensor] = {}
        for id, (p, _) in self._uses.items():
            g = grads.get(id)
            if g is not None and p.requires_grad is not False:
                total[p] = total[p].add(g) if p in total else g
        return total

    def grad(self, grads: Any, ref: TensorRef) -> AnyTensor | None:
        """The entry of a reference in gradients of any of the forms that this session returns."""
        self.require(ref)
        if isinstance(grads, dict):
            return grads.get(ref.id)
        return grads[ref.id]

    def grads(self, grads: Any, refs: Sequence[TensorRef]) -> list[AnyTensor | None]:
        """The entries of several references."""
        return [self.grad(grads, r) for r in refs]

    # Steps ----------------------------------------------------------------------------------------------------------------

    def _param_grads(self, grads: Any) -> dict[Param, AnyTensor]:
        if isinstance(grads, dict) and all(isinstance(p, Param) for p in grads):
            return {p: g for p, g in grads.items() if p.requires_grad is not False}
        return self._by_param(grads)

    def sgd_step_all(self, lr: float, grads: Any) -> None:
        """p ← p − lr·g for every parameter used on the tape, in one call."""
        from .train.update import sgd_update

        sgd_update(self._param_grads(grads), lr)

    def adam_step_all(self, state: Any, lr: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """One Adam step for every parameter used on the tape (Kingma & Ba 2015, algorithm 1)."""
        from .train.update import adam_update

        adam_update(self._param_grads(grads), state, lr, beta1, beta2, eps, 0.0)

    def adamw_step_all(self, state: Any, lr: float, weight_decay: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """One AdamW step for every parameter used on the tape (Loshchilov & Hutter 2019, algorithm 2)."""
        from .train.update import adam_update

        adam_update(self._param_grads(grads), state, lr, beta1, beta2, eps, weight_decay)

    def __repr__(self) -> str:
        return f"<Session: {self.options.backend} on {self.options.device}, {self.dtype}, {len(self.store)} nodes>"


class _threads:
    # Caps the threads of the calling thread's kernels for a while.
    __slots__ = ("_before", "_cap")

    def __init__(self, cap: int | None) -> None:
        self._cap = cap

    def __enter__(self) -> None:
        self._before = cap_threads(self._cap) if self._cap else None

    def __exit__(self, *exc: object) -> None:
        if self._before is not None:
            cap_threads(self._before)
