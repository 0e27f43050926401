"""The PyTorch-like face: a session records ops, keeps parameters, and steps optimisers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from tlean import arguments
from tlean._core.array import AnyTensor, as_tensor, shared
from tlean.arguments import each
from tlean.arguments.literals import FloatName
from tlean.devices import cuda
from tlean.errors import DeviceError, DTypeError, NodeError, OptionError, ShapeError
from tlean.optim.gradients import GradientDict, Gradients
from tlean.optim.updates import AdamUpdate, SGDUpdate, Update
from tlean.options import Changes, Options
from tlean.param import Param
from tlean.rng import Rng

from .indices import NatRef, NatVecRef, index_of

if TYPE_CHECKING:
    from tlean._generated.methods import OpsMethods as _Methods
else:
    # A session's ops are those of the backend that it is of.
    _Methods = object


class Session(_Methods):
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
    _kinds: ClassVar[dict[tuple[str, str], type[Session]]] = {}

    def __new__(cls, options: Options | None = None, **changes: Unpack[Changes]) -> Self:
        if cls is Session:
            options = options_of(options, changes)
            device = "cpu" if options.device == "cpu" else "cuda"
            if device == "cuda":
                cuda()
            kind = Session._kinds[options.backend, device]
            return kind.__new__(kind)  # type: ignore[return-value]
        return super().__new__(cls)

    def __init_subclass__(cls, runs: tuple[str, str] | None = None) -> None:
        """A new session: `runs` is the backend and the device that `Session` makes it for."""
        super().__init_subclass__()
        if runs is not None:
            Session._kinds[runs] = cls

    if TYPE_CHECKING:
        # What a backend adds.
        dtype: FloatName

        def add_leaf(self, value: Any, requires_grad: bool = True, name: str | None = None) -> Any: ...
        def _backward(self, out: Any, seed: Any, params_only: bool) -> Any: ...
        def reset_tape(self) -> None: ...
        def spec_of(self, i: int) -> tuple[tuple[int, ...], str]: ...

    def array(self, x: Any, dtype: str | None = None) -> Any:
        """A value as an array where the session computes; with its dtype if none is given.

        Args:
            x: anything array-like.
            dtype: of the array; None keeps x's.

        Raises: DTypeError, ShapeError.
        """
        return as_tensor(x, dtype)

    # Leaves -----------------------------------------------------------------------------------------------------------------

    def param(self, value: Any, name: str | None = None, requires_grad: bool | None = None) -> Param:
        """A new parameter of the session's dtype.

        Args:
            value: the first value, of any shape; it is copied.
            name: shown in messages and printed tapes.
            requires_grad: whether gradients flow to it and steps move it; None takes the option `requires_grad_by_default`.

        Raises: DTypeError for a value that is no array of numbers.
        """
        if requires_grad is None:
            requires_grad = self.options.requires_grad_by_default
        return Param(value, name, arguments.flag("param", "requires_grad", requires_grad), dtype=self.options.dtype)

    def use(self, p: Param) -> Any:
        """A leaf with the parameter's value. Used twice, its gradients are summed and it is updated once.

        Args:
            p: a parameter of the session's dtype.

        Returns: its reference.
        Raises: NodeError for something that is no `Param`, DTypeError for one of another dtype.
        """
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
        """A leaf for each parameter.

        Args:
            params: the parameters.

        Raises: as `use` does.
        """
        return [self.use(p) for p in each("use_all", "parameters", params)]

    def input(self, x: Any, name: str | None = None, requires_grad: bool | None = None) -> Any:
        """A leaf with this value (copied, cast to the session's dtype).

        Args:
            x: anything array-like.
            name: shown in printed tapes.
            requires_grad: whether gradients flow to it; None takes the option `requires_grad_by_default`.

        Raises: DTypeError for a value that is no array of numbers.
        """
        flows = self.options.requires_grad_by_default if requires_grad is None else arguments.flag("input", "requires_grad", requires_grad)
        return self.add_leaf(self.array(x, self.options.dtype), flows, name)

    def input_all(self, xs: Sequence[Any]) -> list[Any]:
        """A leaf for each value.

        Args:
            xs: the values.

        Raises: as `input` does.
        """
        return [self.input(x) for x in each("input_all", "arrays", xs)]

    def release(self) -> None:
        """Forget every node and give the memory back."""
        self.reset_tape()

    # Indices ----------------------------------------------------------------------------------------------------------------

    def input_nat(self, value: int) -> NatRef:
        """An index that can be set again.

        Args:
            value: an int of at least 0.

        Raises: OptionError for another value.
        """
        return NatRef(self, value)

    def input_nat_vec(self, values: Sequence[int]) -> NatVecRef:
        """A vector of indices that can be set again.

        Args:
            values: ints of at least 0.

        Raises: OptionError for other values.
        """
        return NatVecRef(self, values)

    def get_nat(self, ref: NatRef) -> int:
        """The index now.

        Args:
            ref: what `input_nat` returned.

        Raises: NodeError if it belongs to another session or is from before `reset_tape`.
        """
        return int(index_of("get_nat", ref, NatRef).read(self).item())

    def get_nat_vec(self, ref: NatVecRef) -> list[int]:
        """The indices now.

        Args:
            ref: what `input_nat_vec` returned.

        Raises: NodeError if it belongs to another session or is from before `reset_tape`.
        """
        return index_of("get_nat_vec", ref, NatVecRef).read(self).tolist()

    def set_nat(self, ref: NatRef, value: int) -> None:
        """Set the index for ops recorded from now on.

        Args:
            ref: what `input_nat` returned.
            value: an int of at least 0.

        Raises: NodeError if it belongs to another session or is from before `reset_tape`; OptionError for another value.
        """
        index_of("set_nat", ref, NatRef).write(self, value)

    def set_nat_vec(self, ref: NatVecRef, values: Sequence[int]) -> None:
        """Set the indices for ops recorded from now on.

        Args:
            ref: what `input_nat_vec` returned.
            values: as many ints of at least 0 as before.

        Raises: ShapeError for another length.
        """
        index_of("set_nat_vec", ref, NatVecRef).write(self, values)

    # Randomness -------------------------------------------------------------------------------------------------------------

    def init_rng(self, seed: int) -> None:
        """Restart the session's random stream from this seed.

        Args:
            seed: the seed.

        Raises: OptionError unless it is an int of 64 bits.
        """
        self.session_seed: int = arguments.seed("init_rng", seed)
        self.stream_position = 0

    def split_rng(self) -> Any:
        """A separate `tl.Rng`, whose numbers are independent of the session's stream from here on."""
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
            raise ShapeError(f"backward: the cotangent must have the output's shape {out.shape}, got {g.shape}")
        return g

    def _check_scalar(self, loss: Any) -> Any:
        self.require(loss)  # type: ignore[attr-defined]
        if loss.shape != ():
            raise ShapeError(f"backward_scalar: the loss must be a scalar, got shape {loss.shape}; reduce it or use backward_dense_all")
        return self._check_backward(loss, 1.0)

    def backward_dense_all(self, out: Any, seed: Any) -> Gradients:
        """Gradients of `out` with the cotangent `seed` for every node of the tape.

        Args:
            out: a reference.
            seed: the cotangent, of the shape of `out`.

        Raises: NodeError for a reference of another session or from before `reset_tape`, or a parameter that was updated since; ShapeError.
        """
        return self._backward(out, self._check_backward(out, seed), False)

    def backward_scalar_dense_all(self, loss: Any) -> Gradients:
        """Gradients of a scalar for every node of the tape.

        Args:
            loss: a reference of shape `()`.

        Raises: as `backward_dense_all` does; ShapeError for a loss that has axes.
        """
        return self._backward(loss, self._check_scalar(loss), False)

    def backward_scalar(self, loss: Any) -> GradientDict:
        """Gradients of a scalar, keyed by node id; only the nodes that something reached.

        Args:
            loss: a reference of shape `()`.

        Raises: as `backward_scalar_dense_all` does.
        """
        return GradientDict({i: g for i, g in enumerate(self.backward_scalar_dense_all(loss).every()) if g is not None})

    def backward_params(self, loss: Any) -> dict[Param, AnyTensor]:
        """Gradients of a scalar for the parameters alone; the memory of all others is given back as the sweep passes.

        Args:
            loss: a reference of shape `()`.

        Raises: as `backward_scalar_dense_all` does.
        """
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
            "gradients must be what a backward pass returned, a dict by parameter or by node id, or a list by node id, "
            f"got {type(grads).__name__}"
        )

    def grad(self, grads: Any, ref: Any) -> AnyTensor | None:
        """The entry of a reference in gradients of any of the forms that this session returns.

        Args:
            grads: what a backward pass returned, or a mapping or list by node id.
            ref: a reference of this session.

        Returns: the gradient; None where nothing arrived, if `grads` says so.
        Raises: NodeError for a reference or gradients of another session, or from before `reset_tape`; OptionError for something that is no
            gradients.
        """
        self.require(ref)  # type: ignore[attr-defined]
        if isinstance(grads, Gradients) and grads.session is self:
            return grads[ref.id]
        return self._entries(grads, (ref.id,))[0]

    def grads(self, grads: Any, refs: Sequence[Any]) -> list[AnyTensor | None]:
        """The entries of several references.

        Args:
            grads: as for `grad`.
            refs: the references.

        Raises: as `grad` does.
        """
        return [self.grad(grads, r) for r in each("grads", "references", refs)]

    # Steps ------------------------------------------------------------------------------------------------------------------

    def sgd_step_all(self, lr: float, grads: Any) -> None:
        """p ← p − lr·g for every parameter used on the tape, in one call.

        Args:
            lr: the learning rate, at least 0.
            grads: as for `optim_step`.

        Raises: as `optim_step` does.
        """
        self.optim_step(SGDUpdate(lr), grads)

    def adam_step_all(self, state: Any, lr: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """One Adam step for every parameter used on the tape (Kingma & Ba 2015, algorithm 1).

        Args:
            state: a `tl.AdamState`, which the step moves.
            lr: the learning rate, at least 0.
            beta1, beta2: how much of the running means is kept, in [0, 1].
            eps: added to the root.
            grads: as for `optim_step`.

        Raises: as `optim_step` does.
        """
        self.adamw_step_all(state, lr, 0.0, beta1, beta2, eps, grads)

    def adamw_step_all(self, state: Any, lr: float, weight_decay: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """One AdamW step for every parameter used on the tape (Loshchilov & Hutter 2019, algorithm 2).

        Args:
            state: a `tl.AdamState`, which the step moves.
            lr: the learning rate, at least 0.
            weight_decay: parameters shrink by the factor 1 − lr·weight_decay first.
            beta1, beta2: how much of the running means is kept, in [0, 1].
            eps: added to the root.
            grads: as for `optim_step`.

        Raises: as `optim_step` does.
        """
        self.optim_step(AdamUpdate(state, lr, beta1, beta2, eps, weight_decay), grads)

    def optim_step(self, opt: Any, grads: Any) -> None:
        """One step of an optimiser of `tl.optim`, for those of its parameters that the tape used.

        Gradients may be applied more than once, and after further ops: they stay those of the pass that made them.

        Args:
            opt: the optimiser.
            grads: what a backward pass of this session returned, a dict by parameter or by node id, or a list by node id.

        Raises: OptionError for what is no optimiser or no gradients; NodeError for gradients of another session or from before
            `reset_tape`.
        """
        self._check_step(opt, grads)
        opt.apply(self._by_param(grads))

    def _check_step(self, opt: Any, grads: Any) -> None:
        if not isinstance(opt, Update):
            raise OptionError(f"optim_step: an optimiser of tl.optim is expected, got {type(opt).__name__}")
        if isinstance(grads, Gradients) and grads.session is not self:
            raise NodeError("optim_step: these gradients belong to another session")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise OptionError("a session cannot be pickled or copied: its tape belongs to this process; pickle its parameters, or tl.save them")

    def _need_cuda(self, name: str) -> None:
        if not self.options.device.startswith("cuda"):
            raise DeviceError(f"{name}: the session is on {self.options.device!r}; make it with device='cuda'")

    def backward_dense_all_cuda(self, out: Any, seed: Any) -> Gradients:
        """`backward_dense_all` of a CUDA session.

        Args:
            out: a reference.
            seed: the cotangent, of the shape of `out`.

        Raises: DeviceError on another.
        """
        self._need_cuda("backward_dense_all_cuda")
        return self.backward_dense_all(out, seed)

    def backward_scalar_dense_all_cuda(self, loss: Any) -> Gradients:
        """`backward_scalar_dense_all` of a CUDA session.

        Args:
            loss: a reference of shape `()`.

        Raises: DeviceError on another.
        """
        self._need_cuda("backward_scalar_dense_all_cuda")
        return self.backward_scalar_dense_all(loss)

    def sgd_step_all_cuda(self, lr: float, grads: Any) -> None:
        """`sgd_step_all` of a CUDA session.

        Args:
            lr, grads: as for `sgd_step_all`.

        Raises: DeviceError on another.
        """
        self._need_cuda("sgd_step_all_cuda")
        self.sgd_step_all(lr, grads)

    def adam_step_all_cuda(self, state: Any, lr: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """`adam_step_all` of a CUDA session.

        Args:
            state, lr, beta1, beta2, eps, grads: as for `adam_step_all`.

        Raises: DeviceError on another.
        """
        self._need_cuda("adam_step_all_cuda")
        self.adam_step_all(state, lr, beta1, beta2, eps, grads)

    def adamw_step_all_cuda(self, state: Any, lr: float, weight_decay: float, beta1: float, beta2: float, eps: float, grads: Any) -> None:
        """`adamw_step_all` of a CUDA session.

        Args:
            state, lr, weight_decay, beta1, beta2, eps, grads: as for `adamw_step_all`.

        Raises: DeviceError on another.
        """
        self._need_cuda("adamw_step_all_cuda")
        self.adamw_step_all(state, lr, weight_decay, beta1, beta2, eps, grads)


def options_of(options: Options | None, changes: Changes) -> Options:
    """The options of a session: a keyword argument replaces a field. Raises: OptionError."""
    options = Options() if options is None else options
    if not isinstance(options, Options):
        raise OptionError(f"Session: options must be an Options, got {type(options).__name__}")
    return options.replace(**changes) if changes else options
