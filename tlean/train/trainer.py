"""`ScalarTrainer`: parameters, a loss, and steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean._core.array import AnyTensor, as_tensor
from tlean.backends.eager import no_grad
from tlean.errors import ShapeError
from tlean.ops import FLOAT, Spec
from tlean.session import Options, Session

from .params import ParamList
from .update import AdamState, adam_update, sgd_update


class ScalarTrainer:
    """Trains parameters by the gradient of one scalar loss. The same code runs on every backend and device.

    Args:
        options: an `Options`.
        init_params: initial values, or `Param`s.
        input_shapes: for each input a shape, or a `Spec(shape, dtype)` for integers and Booleans. The first axis of an input may have
            another size than declared when the backend is eager (a last, smaller batch).
        loss: `loss(ops, *params, *inputs)` returns a scalar reference, or `(loss, aux)` with any tree of references as `aux`.
        requires_grad: one flag for each parameter.

    Example::

        trainer = tl.ScalarTrainer(tl.Options(), [w, b], [(784,), (10,)], lambda ops, w, b, x, y: ops.mse_loss(ops.linear(w, b, x), y))
        loss = trainer.step(0.1, x, y)
    """

    def __init__(
        self, options: Options, init_params: Sequence[Any], input_shapes: Sequence[Any], loss: Callable[..., Any], requires_grad: Any = None
    ) -> None:
        self.options = options
        self.session = Session(options)
        self.params = ParamList(init_params, requires_grad, dtype=options.dtype)
        self.input_specs = [s if isinstance(s, Spec) else Spec(tuple(s)) for s in input_shapes]
        self.loss = loss
        #: What the loss returned beside the scalar in the last call, as arrays.
        self.aux: Any = None
        self._adam = AdamState()

    def _record(self, inputs: Sequence[Any]) -> Any:
        if len(inputs) != len(self.input_specs):
            raise ShapeError(f"ScalarTrainer: {len(self.input_specs)} inputs are declared, got {len(inputs)}")
        s = self.session
        s.reset_tape()
        params = s.use_all(list(self.params))
        refs = [self._leaf(k, x, spec) for k, (x, spec) in enumerate(zip(inputs, self.input_specs, strict=True))]
        result = self.loss(s, *params, *refs)
        value, aux = result if isinstance(result, tuple) else (result, None)
        self.aux = _values(aux)
        if value.shape != ():
            raise ShapeError(f"ScalarTrainer: the loss is a scalar, got shape {value.shape}")
        return value

    def _leaf(self, k: int, x: Any, spec: Spec) -> Any:
        dtype = self.options.dtype if spec.dtype == FLOAT else spec.dtype
        value = as_tensor(x, dtype)
        if len(value.shape) != len(spec.shape) or value.shape[1:] != spec.shape[1:]:
            raise ShapeError(f"ScalarTrainer: input {k} is declared as {spec.shape}, got {value.shape}")
        return self.session.add_leaf(value, False, None)

    def forward(self, *inputs: Any) -> AnyTensor:
        """The loss, with no gradient computed."""
        with no_grad():
            return self._record(inputs).value

    def backward(self, *inputs: Any) -> list[AnyTensor | None]:
        """The gradients of the loss, one for each parameter (None for one that the loss does not reach or that is frozen)."""
        found = self.session.backward_params(self._record(inputs))
        return [found.get(p) for p in self.params]

    def _loss_and_grads(self, inputs: Sequence[Any]) -> tuple[AnyTensor, Any]:
        ref = self._record(inputs)
        value = ref.value
        grads = self.session.backward_params(ref)
        # The tape goes before the update: its leaves hold the parameters' memory.
        self.session.reset_tape()
        return value, grads

    def step(self, lr: float, *inputs: Any) -> AnyTensor:
        """One step of gradient descent; returns the loss before it."""
        value, grads = self._loss_and_grads(inputs)
        sgd_update(grads, lr)
        return value

    def adam_step(self, lr: float, beta1: float, beta2: float, eps: float, *inputs: Any) -> AnyTensor:
        """One step of Adam; returns the loss before it."""
        return self.adamw_step(lr, beta1, beta2, eps, 0.0, *inputs)

    def adamw_step(self, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, *inputs: Any) -> AnyTensor:
        """One step of AdamW; returns the loss before it."""
        value, grads = self._loss_and_grads(inputs)
        adam_update(grads, self._adam, lr, beta1, beta2, eps, weight_decay)
        return value

    def get_params(self) -> list[AnyTensor]:
        """The parameters now, as arrays of their own."""
        return self.params.get()


def _values(tree: Any) -> Any:
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {k: _values(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_values(v) for v in tree)
    return getattr(tree, "value", tree)
