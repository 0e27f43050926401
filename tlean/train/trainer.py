"""`ScalarTrainer`: parameters, a loss, and steps, on the eager or the compiled backend."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tlean import arguments
from tlean._core.array import AnyTensor
from tlean.errors import OptionError, ShapeError
from tlean.ops import FLOAT
from tlean.optim.param_list import ParamList
from tlean.optim.state import STATE_NAMES, AdamState
from tlean.optim.updates import AdamUpdate, SGDUpdate, Update, check_dtypes, limit
from tlean.options import Options
from tlean.param import Param
from tlean.programs.specs import as_spec

from .steps import CompiledSteps, DeviceSteps, EagerSteps

if TYPE_CHECKING:
    from tlean.shapes import Spec


class ScalarTrainer:
    """Trains parameters by the gradient of one scalar loss. The same code runs on every backend and device, with the same bits on the CPU.

    On a device everything stays there: inputs are copied to it (arrays that are there already are used as they are), losses, gradients and
    `aux` are arrays of the device, and parameters are read back by `get_params`.

    Args:
        options: an `Options`.
        init_params: initial values, or `Param`s.
        input_shapes: for each input a shape, or a `Spec(shape, dtype)` for another dtype than the options name. The first axis of an input
            may have another size in a call than declared here (a last, smaller batch); the compiled backend keeps a plan for each.
        loss: `loss(*params, *inputs)`, or `loss(ops, *params, *inputs)`, returns a scalar reference, or `(loss, aux)` with any tree of
            references as `aux`.
        requires_grad: one flag for each parameter.

    A step is taken whole or not at all: an exception in it, Ctrl-C and a lack of memory among them, leaves the parameters, the optimiser's
    states and counts and the random stream as they were before it, or as they are after it.

    Raises: OptionError, DTypeError for a `Param` of another float dtype than the options name: it is never cast.

    Example::

        trainer = tl.ScalarTrainer(tl.Options(), [w, b], [(784,), (10,)], lambda ops, w, b, x, y: ops.mse_loss(ops.linear(w, b, x), y))
        loss = trainer.step(0.1, x, y)
    """

    def __init__(
        self, options: Options, init_params: Sequence[Any], input_shapes: Sequence[Any], loss: Callable[..., Any], requires_grad: Any = None
    ) -> None:
        if not isinstance(options, Options):
            raise OptionError(f"ScalarTrainer: options must be an Options, got {type(options).__name__}")
        self.options = options
        self.params: ParamList = ParamList(init_params, requires_grad, dtype=options.dtype)
        check_dtypes("ScalarTrainer", self.params, options.dtype)
        for p in self.params:
            if p.requires_grad is None:
                p.requires_grad = options.requires_grad_by_default
        self.input_specs: list[Spec] = [as_spec(s) for s in input_shapes]
        self._input_dtypes = [options.dtype if s.dtype == FLOAT else s.dtype for s in self.input_specs]
        # Numbers are looked at after each op, so the ops run one by one: the same bits.
        compiled = CompiledSteps if options.device == "cpu" else DeviceSteps
        steps = compiled if options.backend == "compiled" and not options.check_numerics else EagerSteps
        self._steps: Any = steps(options, self.params, loss)
        self._adam = AdamState()
        #: What the loss returned beside the scalar in the last call, as arrays.
        self.aux: Any = None

    @property
    def captured(self) -> Mapping[str, Any]:
        """What the compiled step took of the loss's surroundings for good, by name. Arrays that ops were given are read at each step."""
        return types.MappingProxyType(dict(self._steps.captured))

    def _tensors(self, inputs: Sequence[Any], backward: bool = True) -> list[AnyTensor]:
        # `backward`: whether gradients are computed of them.
        if len(inputs) != len(self.input_specs):
            raise ShapeError(f"ScalarTrainer: {len(self.input_specs)} inputs are declared, got {len(inputs)}")
        tensors = [self._steps.array(x, dtype) for x, dtype in zip(inputs, self._input_dtypes, strict=True)]
        for value, spec in zip(tensors, self.input_specs, strict=True):
            shape = value.shape
            if shape != spec.shape and (len(shape) != len(spec.shape) or shape[1:] != spec.shape[1:]):
                k = [t is value for t in tensors].index(True)
                raise ShapeError(f"ScalarTrainer: input {k} is declared as {spec.shape}, got {shape}")
        return tensors

    def forward(self, *inputs: Any) -> AnyTensor:
        """The loss, with no gradient computed.

        Args:
            inputs: arrays of the shapes that the trainer was made for.

        Raises: ShapeError for other shapes or another number of inputs.
        """
        value, self.aux = self._steps.forward(self._tensors(inputs, backward=False))
        return value

    def backward(self, *inputs: Any) -> list[AnyTensor | None]:
        """The gradients of the loss, one for each parameter (None for one that is frozen or that the loss does not reach).

        Args:
            inputs: arrays of the shapes that the trainer was made for.

        Raises: ShapeError for other shapes or another number of inputs.
        """
        _, self.aux, grads = self._steps.backward(self._tensors(inputs))
        return grads

    def _move(self, update: Update, inputs: Sequence[Any], clip_norm: float | None = None, finite: bool = False) -> AnyTensor:
        value, self.aux, moved = self._steps.step(update, self._tensors(inputs), clip_norm, finite)
        if not moved and any(p.requires_grad for p in self.params) and not any(map(update.kernel, self.params)):
            warnings.warn(
                "ScalarTrainer: nothing moved, as the optimiser has none of the trainer's parameters; make it over trainer.params",
                RuntimeWarning,
                stacklevel=3,
            )
        return value

    def step(self, lr: float, *inputs: Any) -> AnyTensor:
        """One step of gradient descent; returns the loss before it.

        Args:
            lr: the learning rate, at least 0.
            inputs: arrays of the shapes that the trainer was made for.

        Raises: OptionError for a rate below 0; ShapeError for other shapes or another number of inputs; then nothing was updated.
        """
        return self._move(SGDUpdate(lr), inputs)

    def adam_step(self, lr: float, beta1: float, beta2: float, eps: float, *inputs: Any) -> AnyTensor:
        """One step of Adam; returns the loss before it. Source: Kingma & Ba 2015, algorithm 1.

        Args:
            lr: the learning rate, at least 0.
            beta1, beta2: how much of the running means is kept, in [0, 1].
            eps: added to the root.
            inputs: arrays of the shapes that the trainer was made for.

        Raises: OptionError for a number outside its range; ShapeError; then nothing was updated.
        """
        return self.adamw_step(lr, beta1, beta2, eps, 0.0, *inputs)

    def adamw_step(self, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, *inputs: Any) -> AnyTensor:
        """One step of AdamW; returns the loss before it. Source: Loshchilov & Hutter 2019, algorithm 2.

        Args:
            lr: the learning rate, at least 0.
            beta1, beta2: how much of the running means is kept, in [0, 1].
            eps: added to the root.
            weight_decay: parameters shrink by the factor 1 − lr·weight_decay first.
            inputs: arrays of the shapes that the trainer was made for.

        Raises: OptionError for a number outside its range; ShapeError; then nothing was updated.
        """
        return self._move(AdamUpdate(self._adam, lr, beta1, beta2, eps, weight_decay), inputs)

    def optim_step(self, opt: Update, *inputs: Any, clip_norm: float | None = None, check_finite: bool = False) -> AnyTensor:
        """One step of an optimiser; returns the loss before it.

        Parameters that the optimiser does not have stay as they are; if it has none of them, a warning says so. On the compiled backend the
        update is part of the step's plan, with the optimiser's states as state slots and its rates as a run-time input.

        Args:
            opt: one of `tl.optim`, made over this trainer's `params`.
            inputs: arrays of the shapes that the trainer was made for.
            clip_norm: the largest joint norm of the gradients that the optimiser uses (see `tl.optim.clip_by_norm`).
            check_finite: look at the loss and at the gradients (with clip_norm, at their norm) before anything is updated. On a device this
                waits for it, once; the loss has been read back then.

        Raises: OptionError for something that is no optimiser, a clip_norm below 0, or a check_finite that is neither True nor False;
            ShapeError; DTypeError for a parameter that was cast since; NumericsError where check_finite finds a NaN or an infinity. Then
            nothing was updated.
        """
        if not isinstance(opt, Update):
            raise OptionError(f"ScalarTrainer.optim_step: an optimiser of tl.optim is expected, got {type(opt).__name__}")
        looks = arguments.flag("ScalarTrainer.optim_step", "check_finite", check_finite)
        return self._move(opt, inputs, None if clip_norm is None else limit("clip_norm", clip_norm), looks)

    def store_with_step(self, stored: Callable[[Any], Iterable[tuple[Param, Any]]]) -> None:
        """Make arrays of `aux` the values of parameters with every step of an optimiser, as part of it: a model's running statistics.

        Args:
            stored: `stored(aux)` says which: pairs of a parameter and the leaf of `aux` that becomes its value, or None.
        """
        self._steps.stored = stored

    @property
    def stream_state(self) -> tuple[int, int]:
        """(seed, position) of the random stream; it can be set."""
        return self._steps.stream_state

    @stream_state.setter
    def stream_state(self, state: tuple[int, int]) -> None:
        self._steps.stream_state = state

    def state_dict(self) -> dict[str, Any]:
        """Parameters, the moments of `adam_step`, and the position of the random stream: the same on every backend."""
        names = dict(zip(self.params, self.params.names(), strict=True))
        adam = {names[p]: self._adam.entry(p, STATE_NAMES["_adam_step"]) for p in self._adam.steps}
        seed, position = self._steps.stream_state
        return {"params": self.params.state_dict(), "adam": adam, "rng": {"seed": seed, "position": position}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Args:
            state: what `state_dict` of a trainer of this model returned.

        Raises: OptionError or ShapeError if it is of another model; then nothing was changed.
        """
        if not isinstance(state, Mapping) or state.keys() != {"params", "adam", "rng"}:
            raise OptionError("ScalarTrainer: this is no state of a trainer")
        by_name = dict(zip(self.params.names(), self.params, strict=True))
        if not state["adam"].keys() <= by_name.keys():
            raise OptionError(f"ScalarTrainer: the state has moments of {', '.join(state['adam'].keys() - by_name.keys())}")
        adam = AdamState()
        for name, entry in state["adam"].items():
            adam.take_entry(by_name[name], STATE_NAMES["_adam_step"], entry)
        stream = (int(state["rng"]["seed"]), int(state["rng"]["position"]))
        self.params.load_state_dict(state["params"])
        self._adam, self._steps.stream_state = adam, stream

    def get_params(self) -> list[AnyTensor]:
        """The parameters now, as copies."""
        return self.params.get()

    def __repr__(self) -> str:
        backend, loss = self.options.backend, self._steps.recorder.convention()
        return f"<ScalarTrainer of {loss}: {len(self.params)} parameters, {backend}>"

    def __reduce__(self) -> Any:
        # Plans and tapes are made again where it arrives; the loss is pickled by name, or by its own state.
        given = (self.options, list(self.params), self.input_specs, self._steps.loss)
        return _remade, (type(self), given, self._adam, self._steps.stream_state)


def _remade(kind: type[ScalarTrainer], given: tuple[Any, ...], adam: AdamState, stream: tuple[int, int]) -> ScalarTrainer:
    made = kind(*given)
    made._adam, made._steps.stream_state = adam, stream
    return made
