"""`ScalarTrainer`: parameters, a loss, and steps, on the eager or the compiled backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean._core.array import AnyTensor, as_tensor
from tlean.errors import DeviceError, ShapeError
from tlean.ops import FLOAT, Spec
from tlean.options import Options

from .params import ParamList
from .steps import CompiledSteps, EagerSteps
from .update import AdamState, adam_hyper, number


class ScalarTrainer:
    """Trains parameters by the gradient of one scalar loss. The same code runs on every backend and device, with the same bits on the CPU.

    Args:
        options: an `Options`.
        init_params: initial values, or `Param`s.
        input_shapes: for each input a shape, or a `Spec(shape, dtype)` for integers and Booleans. The first axis of an input may have
            another size in a call than declared here (a last, smaller batch); the compiled backend keeps a plan for each.
        loss: `loss(ops, *params, *inputs)` returns a scalar reference, or `(loss, aux)` with any tree of references as `aux`.
        requires_grad: one flag for each parameter.

    Example::

        trainer = tl.ScalarTrainer(tl.Options(), [w, b], [(784,), (10,)], lambda ops, w, b, x, y: ops.mse_loss(ops.linear(w, b, x), y))
        loss = trainer.step(0.1, x, y)
    """

    def __init__(
        self, options: Options, init_params: Sequence[Any], input_shapes: Sequence[Any], loss: Callable[..., Any], requires_grad: Any = None
    ) -> None:
        if options.device != "cpu":
            raise DeviceError(f"ScalarTrainer: device {options.device!r} is not available in this version")
        self.options = options
        self.params = ParamList(init_params, requires_grad, dtype=options.dtype)
        for p in self.params:
            if p.requires_grad is None:
                p.requires_grad = options.requires_grad_by_default
        self.input_specs = [s if isinstance(s, Spec) else Spec(tuple(s)) for s in input_shapes]
        self._steps: Any = (CompiledSteps if options.backend == "compiled" else EagerSteps)(options, self.params, loss)
        self._adam = AdamState()
        #: What the loss returned beside the scalar in the last call, as arrays.
        self.aux: Any = None

    def _tensors(self, inputs: Sequence[Any]) -> list[AnyTensor]:
        if len(inputs) != len(self.input_specs):
            raise ShapeError(f"ScalarTrainer: {len(self.input_specs)} inputs are declared, got {len(inputs)}")
        tensors = []
        for k, (x, spec) in enumerate(zip(inputs, self.input_specs, strict=True)):
            value = as_tensor(x, self.options.dtype if spec.dtype == FLOAT else spec.dtype)
            if len(value.shape) != len(spec.shape) or value.shape[1:] != spec.shape[1:]:
                raise ShapeError(f"ScalarTrainer: input {k} is declared as {spec.shape}, got {value.shape}")
            tensors.append(value)
        return tensors

    def forward(self, *inputs: Any) -> AnyTensor:
        """The loss, with no gradient computed."""
        value, self.aux = self._steps.forward(self._tensors(inputs))
        return value

    def backward(self, *inputs: Any) -> list[AnyTensor | None]:
        """The gradients of the loss, one for each parameter (None for one that is frozen or that the loss does not reach)."""
        _, self.aux, grads = self._steps.backward(self._tensors(inputs))
        return grads

    def step(self, lr: float, *inputs: Any) -> AnyTensor:
        """One step of gradient descent; returns the loss before it."""
        value, self.aux = self._steps.sgd((number("lr", lr, -float("inf")), 1.0, 0.0), self._tensors(inputs))
        return value

    def adam_step(self, lr: float, beta1: float, beta2: float, eps: float, *inputs: Any) -> AnyTensor:
        """One step of Adam; returns the loss before it. Source: Kingma & Ba 2015, algorithm 1."""
        return self.adamw_step(lr, beta1, beta2, eps, 0.0, *inputs)

    def adamw_step(self, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, *inputs: Any) -> AnyTensor:
        """One step of AdamW; returns the loss before it. Source: Loshchilov & Hutter 2019, algorithm 2."""
        hyper = adam_hyper(lr, beta1, beta2, eps, weight_decay)
        value, self.aux = self._steps.adam(self._adam, hyper, self._tensors(inputs))
        return value

    def get_params(self) -> list[AnyTensor]:
        """The parameters now, as arrays of their own."""
        return self.params.get()
