"""`Program`: a model's loss as a program."""

from __future__ import annotations

import functools
from typing import Any

from tlean.arguments import whole
from tlean.errors import NodeError, OptionError
from tlean.ops.protocol import Ops
from tlean.programs.recorder import Recorder

from .bound import Bound


class Program:
    """A model's loss as a program: what `Module.program` returns.

    A call `program(ops, *state, *inputs)` returns `(loss, {"loss": …, "output": …, "buffers": […]})`.

    Args:
        model: a `Module`.
        loss: the name of an op, or `loss(output, *targets)`, or `loss(ops, output, *targets)`.
        inputs: how many of the arrays go to the model; the others are targets.
        training: the mode of all layers; None: each has its own.

    Raises: OptionError for a loss that is no op and no function; when called, NodeError for a loss that gives no reference, or a parameter
        that is used without being part of the model.
    """

    model: Any
    loss: Any
    inputs: int
    training: bool | None
    state: list[Any]
    buffers: Any

    def __init__(self, model: Any, loss: Any, inputs: int = 1, training: bool | None = None) -> None:
        if isinstance(loss, str):
            if loss.startswith("_") or not callable(getattr(Ops, loss, None)):
                raise OptionError(f"the loss must be the name of an op, such as 'cross_entropy' or 'mse_loss', or a function; got {loss!r}")
        elif not callable(loss):
            raise OptionError(f"the loss must be the name of an op, or a function of (output, *targets), got {type(loss).__name__}")
        if not callable(getattr(model, "named_state", None)):
            raise OptionError(f"Program: the model must be a Module, got {model!r}")
        inputs = whole("the number of arrays that the model takes", inputs, 0)
        named = model.named_state()
        for name, p in named.items():
            p.name = name
        self.model, self.loss, self.inputs, self.training = model, loss, inputs, training
        self.state, self.buffers = list(named.values()), model.buffers()
        self._recorder = None if isinstance(loss, str) else Recorder("the loss", loss)

    def __call__(self, ops: Any, *refs: Any) -> Any:
        """The loss, and what goes with it.

        Args:
            ops: a backend or session.
            refs: references to the state, the inputs and the targets.

        Returns: `(loss, {"loss": …, "output": …, "buffers": […]})`.
        Raises: OptionError for something that is no backend; NodeError for a loss that gives no reference, or a parameter that is not part
            of the model.
        """
        if not callable(getattr(ops, "const", None)):
            raise OptionError(f"a program's first argument must be a backend or session, got {ops!r}")
        count = len(self.state)
        bound = Bound(ops, dict(zip(self.state, refs, strict=False)), self.training, closed=True)
        xs, targets = refs[count : count + self.inputs], refs[count + self.inputs :]
        output = self.model(bound, *xs)
        loss = functools.partial(self._recorder, bound) if self._recorder is not None else getattr(bound, self.loss)
        value = loss(output, *targets)
        if not hasattr(value, "shape"):
            raise NodeError(f"the loss must be a reference to a scalar, got {type(value).__name__}: what ops return is one")
        return value, {"loss": value, "output": output, "buffers": [bound.updates.get(b) for b in self.buffers]}
