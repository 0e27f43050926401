"""The PyTorch-like face: a session records ops, keeps parameters, and steps optimisers."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlean._core.array import AnyTensor, as_tensor, shared
from tlean._core.eager import use

from . import arguments
from .arguments import each, node_id
from .backends.eager import EagerOps
from .errors import DeviceError, DTypeError, NodeError, OptionError, ShapeError
from .indices import NatRef, NatVecRef, index_of
from .options import Options
from .param import Param


class Gradients(Sequence):
    """Gradients of one backward pass, by node id: one array for every node, an explicit zero where nothing arrived."""

    __slots__ = ("_found", "_session", "generation")

    def __init__(self, found: list[Any], session: Any) -> None:
        self._found = found
        self._session = session
        self.generation = session.generation

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, i: Any) -> Any:
        if type(i) is not int or i < 0:
            if isinstance(i, slice):
                self.every()
                return [self[k] for k in range(*i.indices(len(self)))]
            k = node_id("gradients", i)
            i = k + len(self) if k < 0 else k
        g = self.reached(i)
        if g is None:
            # Of zeros the tape knows the shape.
            self.check_tape()
            shape, dtype = self._session.spec_of(i)
            g = self._session.array(np.zeros(shape, dtype))
        return g

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise OptionError("gradients cannot be pickled or copied: they belong to a session's tape; pickle the arrays, list(grads)")

    def check_tape(self) -> None:
        """Raise NodeError if the tape that they are of was reset: what was not computed before it cannot be now."""
        if self._session.generation != self.generation:
            raise NodeError("these gradients are from before reset_tape; read what is needed of them before it")

    def check_node(self, i: int) -> int:
        """The id of one of their nodes. Raises: NodeError if they have no such node."""
        if type(i) is not int:
            i = node_id("gradients", i)
        if not 0 <= i < len(self._found):
            raise NodeError(f"there is no gradient of node {i}: the tape had {len(self)} nodes when they were asked for")
        return i

    def reached(self, i: int) -> AnyTensor | None:
        """The gradient of node i, or None if nothing arrived there. Raises: NodeError if the node is newer than the gradients."""
        return self._found[self.check_node(i)]

    def _entries_of(self, ids: Iterable[int]) -> list[AnyTensor | None]:
        """The gradients of some nodes, None where nothing arrived and for nodes newer than the pass."""
        found, count = self._found, len(self._found)
        return [found[i] if i < count else None for i in ids]

    def every(self) -> list[AnyTensor | None]:
        """The gradients of all nodes, None where nothing arrived."""
        return self._found

    def __contains__(self, g: Any) -> bool:
        return self.count(g) > 0

    def count(self, g: Any) -> int:
        """How many nodes this very array is the gradient of."""
        return sum(found is g for found in self.every())

    def index(self, g: Any, start: int = 0, stop: int | None = None) -> int:
        """The first node that this very array is the gradient of. Raises: NodeError if there is none."""
        found = range(len(self))[slice(node_id("index", start), None if stop is None else node_id("index", stop))]
        for i in found:
            if self.every()[i] is g:
                return i
        raise NodeError(f"index: none of the {len(self)} gradients is this array")

    def __iter__(self) -> Iterator[AnyTensor]:
        self.every()
        return (self[i] for i in range(len(self)))

    @property
    def session(self) -> Any:
        """The session that made them."""
        return self._session

    def __repr__(self) -> str:
        return f"<gradients of {len(self)} nodes>"


class Session:
    """A tape with parameters, inputs and optimiser steps. Every op of the library is a method.

    A session belongs to one thread; the work it does on several threads gives the same bits as on one. `Session(Options(backend=…))` makes
    an eager or a compiled one.

    Args:
        options: an `Options`; keyword arguments change single fields.

    Example::

        s = tl.Session()
        w = s.param(np.zeros((1, 2)))
        s.reset_tape()
        loss = s.mse_loss(s.linear(s.use(w), None, s.input([1.0, 2.0])), s.const([3.0]))
        s.sgd_step_all(0.1, s.backward_scalar_dense_all(loss))
    """

    options: Options
    generation: int
    _uses: dict[int, tuple[Param, int]]

    def __new__(cls, options: Options | None = None, **changes: Any) -> Any:
        if cls is Session:
            options = _options(options, changes)
            if options.device != "cpu":
                from .session_cuda import CompiledCudaSession, CudaSession

                made = CompiledCudaSession if options.backend == "compiled" else CudaSession
                return made.__new__(made)
            if options.backend == "compiled":
                from .session_compiled import CompiledSession

                return CompiledSession.__new__(CompiledSession)
            return EagerSession.__new__(EagerSession)
        return super().__new__(cls)

    if TYPE_CHECKING:
        # What a backend adds.
        dtype: str

        def add_leaf(self, value: Any, requires_grad: bool = True, name: str | None = None) -> Any: ...
        def _backward(self, out: Any, seed: Any, params_only: bool) -> Any: ...
        def reset_tape(self) -> None: ...
        def spec_of(self, i: int) -> tuple[tuple[int, ...], str]: ...

    def array(self, x: Any, dtype: str | None = None) -> Any:
        """A value as an array where the session computes; of its own dtype if none is given. Raises: DTypeError, ShapeError."""
        return as_tensor(x, dtype)

    # Leaves -----------------------------------------------------------------------------------------------------------------

    def param(self, value: Any, name: str | None = None, requires_grad: bool | None = None) -> Param:
        """A new parameter of the session's dtype."""
        if requires_grad is None:
            requires_grad = self.options.requires_grad_by_default
        return Param(value, name, arguments.flag("param", "requires_grad", requires_grad), dtype=self.options.dtype)

    def use(self, p: Param) -> Any:
        """A leaf with the parameter's value. Used twice, its gradients are summed and it is updated once."""
        if not isinstance(p, Param):
            raise NodeError(f"use: a Param is expected, got {type(p).__name__}")
        if p._dtype != self.dtype:
            raise DTypeError(f"use: the session computes in {self.dtype}, got {p!r}; cast it with cast({self.dtype!r})")
        flows = p.requires_grad
        if flows is None:
            flows = self.options.requires_grad_by_default
        ref = self.add_leaf(self._value_of(p), flows, p.name)
        id = ref.id
        if id is not None:
            self._uses[id] = (p, p._version)
        return ref

    def _value_of(self, p: Param) -> Any:
        return shared(p._tensor)

    def use_all(self, params: Sequence[Param]) -> list[Any]:
        """A leaf for each parameter."""
        return [self.use(p) for p in each("use_all", "parameters", params)]

    def input(self, x: Any, name: str | None = None, requires_grad: bool | None = None) -> Any:
        """A leaf with this value (copied, cast to the session's dtype)."""
        flows = self.options.requires_grad_by_default if requires_grad is None else arguments.flag("input", "requires_grad", requires_grad)
        return self.add_leaf(self.array(x, self.options.dtype), flows, name)

    def input_all(self, xs: Sequence[Any]) -> list[Any]:
        """A leaf for each value."""
        return [self.input(x) for x in each("input_all", "arrays", xs)]

    def release(self) -> None:
        """Forget every node and give the memory back."""
        self.reset_tape()

    # Indices ----------------------------------------------------------------------------------------------------------------

    def input_nat(self, value: int) -> NatRef:
        """An index that can be set anew."""
        return NatRef(self, value)

    def input_nat_vec(self, values: Sequence[int]) -> NatVecRef:
        """A vector of indices that can be set anew."""
        return NatVecRef(self, values)

    def get_nat(self, ref: NatRef) -> int:
        """The index now. Raises: NodeError if it belongs to another session or is from before `reset_tape`."""
        return int(index_of("get_nat", ref, NatRef).read(self).item())

    def get_nat_vec(self, ref: NatVecRef) -> list[int]:
        """The indices now."""
        return index_of("get_nat_vec", ref, NatVecRef).read(self).tolist()

    def set_nat(self, ref: NatRef, value: int) -> None:
        """Set the index for ops recorded from now on."""
        index_of("set_nat", ref, NatRef).write(self, value)

    def set_nat_vec(self, ref: NatVecRef, values: Sequence[int]) -> None:
        """Set the indices for ops recorded from now on. Raises: ShapeError for another length."""
        index_of("set_nat_vec", ref, NatVecRef).write(self, values)

    # Randomness -------------------------------------------------------------------------------------------------------------

    def init_rng(self, seed: int) -> None:
        """Start the session's random stream anew from this seed. Raises: OptionError unless it is an int of 64 bits."""
        self.session_seed = arguments.seed("init_rng", seed)
        self.stream_position = 0

    def split_rng(self) -> Any:
        """A `tl.Rng` of its own, whose numbers are independent of the session's stream from here on."""
        from .rng import Rng

        return Rng(self.next_seed())  # type: ignore[attr-defined]

    # Gradients --------------------------------------------------------------------------------------------------------------

    def _check_backward(self, out: Any, seed: Any) -> Any:
        self.require(out)  # type: ignore[attr-defined]
        if out.id is None:
            raise NodeError("backward: the value was computed under no_grad and is not on the tape")
        for id, (p, version) in self._uses.items():
            if p._version != version:
                raise NodeError(f"backward: {p!r} was updated after node {id} read it; record the step again (reset_tape)")
        g = self.array(seed, out.dtype)
        if g.shape != out.shape:
            raise ShapeError(f"backward: the cotangent has the output's shape {out.shape}, got {g.shape}")
        return g

    def _check_scalar(self, loss: Any) -> Any:
        self.require(loss)  # type: ignore[attr-defined]
        if loss.shape != ():
            raise ShapeError(f"backward_scalar: the loss is a scalar, got shape {loss.shape}; reduce it or use backward_dense_all")
        return self._check_backward(loss, 1.0)

    def backward_dense_all(self, out: Any, seed: Any) -> Gradients:
        """Gradients of `out` with the cotangent `seed` for every node of the tape.

        Raises: NodeError for a reference of another session or from before `reset_tape`, or a parameter that was updated since; ShapeError.
        """
        return self._backward(out, self._check_backward(out, seed), False)

    def backward_scalar_dense_all(self, loss: Any) -> Gradients:
        """Gradients of a scalar for every node of the tape."""
        return self._backward(loss, self._check_scalar(loss), False)

    def backward_scalar(self, loss: Any) -> dict[int, AnyTensor]:
        """Gradients of a scalar, keyed by node id; only the nodes that something reached."""
        return {i: g for i, g in enumerate(self.backward_scalar_dense_all(loss).every()) if g is not None}

    def backward_params(self, loss: Any) -> dict[Param, AnyTensor]:
        """Gradients of a scalar for the parameters alone; the memory of all others is given back as the sweep passes."""
        return self._by_param(self._backward(loss, self._check_scalar(loss), True))

    def _by_param(self, grads: Any) -> dict[Param, AnyTensor]:
        # A parameter used twice: its leaves' gradients are summed, in the order of use. What was used after the pass has none.
        if not isinstance(grads, Gradients) and isinstance(grads, Mapping) and all(isinstance(p, Param) for p in grads):
            return {p: g for p, g in grads.items() if p.requires_grad is not False}
        total: dict[Param, AnyTensor] = {}
        for (p, _), g in zip(self._uses.values(), self._entries(grads, self._uses), strict=True):
            if g is not None and p.requires_grad is not False:
                total[p] = self.array(total[p]).add(self.array(g, p.dtype)) if p in total else g
        return total

    def _entries(self, grads: Any, ids: Iterable[int]) -> list[Any]:
        # Of some nodes in gradients of any form: None where there is none.
        if isinstance(grads, Gradients):
            if grads.session is not self:
                raise NodeError("these gradients belong to another session")
            grads.check_tape()
            return grads._entries_of(ids)
        if isinstance(grads, Mapping):
            return [grads.get(i) for i in ids]
        if isinstance(grads, list | tuple):
            return [grads[i] if i < len(grads) else None for i in ids]
        raise OptionError(
            "gradients are what a backward pass returned, a dict by parameter or by node id, or a list by node id, "
            f"got {type(grads).__name__}"
        )

    def grad(self, grads: Any, ref: Any) -> AnyTensor | None:
        """The entry of a reference in gradients of any of the forms that this session returns."""
        self.require(ref)  # type: ignore[attr-defined]
        if isinstance(grads, Gradients) and grads.session is self:
            return grads[ref.id]
        return self._entries(grads, (ref.id,))[0]

    def grads(self, grads: Any, refs: Sequence[Any]) -> list[AnyTensor | None]:
        """The entries of several references."""
        return [self.grad(grads, r) for r in each("grads", "references", refs)]

    # Steps ------------------------------------------------------------------------------------------------------------------

    def sgd_step_all(self, lr: float, grads: Any) -> None:
        """p ← p − lr·g for every parameter used on the tape, in one call."""
        from .train.update import Descent

        self.optim_step(Descent(lr), grads)

    def adam_step_all(self, state: Any, lr: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """One Adam step for every parameter used on the tape (Kingma & Ba 2015, algorithm 1)."""
        self.adamw_step_all(state, lr, 0.0, beta1, beta2, eps, grads)

    def adamw_step_all(self, state: Any, lr: float, weight_decay: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """One AdamW step for every parameter used on the tape (Loshchilov & Hutter 2019, algorithm 2)."""
        from .train.update import AdamUpdate

        self.optim_step(AdamUpdate(state, lr, beta1, beta2, eps, weight_decay), grads)

    def optim_step(self, opt: Any, grads: Any) -> None:
        """One step of an optimiser of `tl.optim`, for those of its parameters that the tape used.

        Gradients may be applied more than once, and after further ops: they stay those of the pass that made them.
        Raises: OptionError for what is no optimiser or no gradients; NodeError for gradients of another session or from before
            `reset_tape`.
        """
        self._check_step(opt, grads)
        opt.apply(self._by_param(grads))

    def _check_step(self, opt: Any, grads: Any) -> None:
        if not isinstance(opt, _updates()):
            raise OptionError(f"optim_step: an optimiser of tl.optim is expected, got {type(opt).__name__}")
        if isinstance(grads, Gradients) and grads.session is not self:
            raise NodeError("optim_step: these gradients belong to another session")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise OptionError("a session cannot be pickled or copied: its tape belongs to this process; pickle its parameters, or tl.save them")

    def _need_cuda(self, name: str) -> None:
        if not self.options.device.startswith("cuda"):
            raise DeviceError(f"{name}: the session is on {self.options.device!r}; make it with device='cuda'")

    def backward_dense_all_cuda(self, out: Any, seed: Any) -> Gradients:
        """`backward_dense_all` of a CUDA session. Raises: DeviceError on another."""
        self._need_cuda("backward_dense_all_cuda")
        return self.backward_dense_all(out, seed)

    def backward_scalar_dense_all_cuda(self, loss: Any) -> Gradients:
        """`backward_scalar_dense_all` of a CUDA session. Raises: DeviceError on another."""
        self._need_cuda("backward_scalar_dense_all_cuda")
        return self.backward_scalar_dense_all(loss)

    def sgd_step_all_cuda(self, lr: float, grads: Any) -> None:
        """`sgd_step_all` of a CUDA session. Raises: DeviceError on another."""
        self._need_cuda("sgd_step_all_cuda")
        self.sgd_step_all(lr, grads)

    def adam_step_all_cuda(self, state: Any, lr: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """`adam_step_all` of a CUDA session. Raises: DeviceError on another."""
        self._need_cuda("adam_step_all_cuda")
        self.adam_step_all(state, lr, beta1, beta2, eps, grads)

    def adamw_step_all_cuda(self, state: Any, lr: float, weight_decay: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """`adamw_step_all` of a CUDA session. Raises: DeviceError on another."""
        self._need_cuda("adamw_step_all_cuda")
        self.adamw_step_all(state, lr, weight_decay, beta1, beta2, eps, grads)


@functools.cache
def _updates() -> type:
    from .train.update import Update

    return Update


def _options(options: Options | None, changes: dict[str, Any]) -> Options:
    options = Options() if options is None else options
    if not isinstance(options, Options):
        raise OptionError(f"Session: options are an Options, got {type(options).__name__}")
    return options.replace(**changes) if changes else options


class EagerSession(Session, EagerOps):
    """A session whose ops run at once."""

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        self.options = _options(options, changes)
        EagerOps.__init__(self, self.options.dtype, None, self.options.first_seed())
        self.check_numerics = self.options.check_numerics
        self.thread_cap = self.options.num_threads or 0
        self.by_definition = not self.options.fast_kernels
        self._uses = {}

    add_leaf = EagerOps.add_leaf
    reset_tape = EagerOps.reset_tape
    use = use

    def spec_of(self, i: int) -> tuple[tuple[int, ...], str]:
        """(shape, dtype) of node i."""
        value = self.ref_of(i)
        return value.shape, value.dtype

    def _backward(self, out: Any, seed: AnyTensor, params_only: bool) -> Gradients:
        return Gradients(self.sweep(out.id, seed, params_only), self)

    def __repr__(self) -> str:
        return f"<Session: eager on {self.options.device}, {self.dtype}, {len(self.store)} nodes>"
