"""Steps of recurrent layers: what a gate does, and the layers that take one step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlean.arguments import truth
from tlean.compiler.graph import Graph
from tlean.errors import OptionError, ShapeError
from tlean.ops.recurrent.cells import gru_parts, lstm_parts
from tlean.programs.running import backend_itself

from ..arguments.literals import Nonlinearity
from .basic import positive
from .init import Initialiser, uniform
from .module import Module, shape_of

if TYPE_CHECKING:
    from tlean.param import Param


#: The functions of a plain recurrent step, as PyTorch names them.
NONLINEARITIES = ("tanh", "relu")


def first_values(size: int) -> Initialiser:
    """Uniform in ±1/√size, PyTorch's default for recurrent layers."""
    return uniform(-1 / math.sqrt(size), 1 / math.sqrt(size))


def nonlinearity_of(layer: str, name: Any) -> str:
    """The name of a function. Raises: OptionError for another one."""
    if not isinstance(name, str) or name not in NONLINEARITIES:
        raise OptionError(f"{layer}: nonlinearity must be 'tanh' or 'relu', got {name!r}")
    return str(name)


def _one_step(ops: Any, record: str, parts: Any, inputs: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    # One op in a program; a tape has no place for one of several outputs. The bits are the same.
    program = backend_itself(ops)
    made = program.apply(record, inputs, {}) if isinstance(program, Graph) else parts(ops, *inputs)
    return tuple(made[:count])


class Kind:
    """What a recurrent layer and its cell have in common: the gates, the state, and the step.

    The projection of an input is x W_ihᵀ + b_ih, and b_hh too where `joined`; a step adds that of the state.
    """

    #: How many gates are stacked in a weight.
    gates = 1
    #: The parts of a state.
    parts: tuple[str, ...] = ("h",)
    #: Whether both biases may be added before the step.
    joined = True

    def step(self, ops: Any, x: Any, state: tuple[Any, ...], weight: Any, bias: Any) -> tuple[Any, ...]:
        """The state after one more input; its first part is the output.

        Args:
            ops: a backend.
            x: the projection of the input, `(N, gates·size)`.
            state: the parts of the state, each `(N, size)`.
            weight: W_hh.
            bias: b_hh where it is not `joined`, or None.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Plain(Kind):
    """h ← f(x + W_hh h), f being tanh or relu."""

    nonlinearity: str

    def step(self, ops: Any, x: Any, state: tuple[Any, ...], weight: Any, bias: Any) -> tuple[Any, ...]:
        return (getattr(ops, self.nonlinearity)(ops.add(x, ops.linear(weight, None, state[0]))),)


class Gated(Kind):
    """r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r·h_n), h ← (1 − z)·n + z·h."""

    gates = 3
    joined = False

    def step(self, ops: Any, x: Any, state: tuple[Any, ...], weight: Any, bias: Any) -> tuple[Any, ...]:
        (h,) = state
        return _one_step(ops, "_gru_cell", gru_parts, (x, ops.linear(weight, bias, h), h), 1)


class LongShort(Kind):
    """i, f, o = σ(…), g = tanh(…), c ← f·c + i·g, h ← o·tanh(c)."""

    gates = 4
    parts: tuple[str, ...] = ("h", "c")

    def step(self, ops: Any, x: Any, state: tuple[Any, ...], weight: Any, bias: Any) -> tuple[Any, ...]:
        h, c = state
        return _one_step(ops, "_lstm_cell", lstm_parts, (x, ops.linear(weight, None, h), c), 2)


def projected(ops: Any, kind: Kind, x: Any, weight: Any, bias: Any, other: Any) -> Any:
    """The projection of inputs `(*k, inputs)` that a step takes.

    Args:
        ops: a backend.
        kind: whose step.
        x: the inputs.
        weight, bias: W_ih and b_ih.
        other: b_hh.
    """
    if bias is not None and kind.joined:
        bias = ops.add(bias, other)
    return ops.linear(weight, bias, x)


def checked_state(layer: Module, kind: Kind, state: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The parts of a state that a user gave. Raises: OptionError for another number of parts, ShapeError for another shape."""
    parts = state if isinstance(state, tuple | list) else (state,)
    if len(parts) != len(kind.parts):
        wanted = " and ".join(kind.parts)
        raise OptionError(f"{type(layer).__name__}: a state must be {wanted}, got {len(parts)} part{'' if len(parts) == 1 else 's'}")
    for name, part in zip(kind.parts, parts, strict=True):
        if shape_of(layer, part) != shape:
            raise ShapeError(f"{type(layer).__name__}: {name} must have shape {shape}, got {part.shape}")
    return tuple(parts)


class Cell(Module):
    """What the cells have in common.

    Args:
        inputs: the size of an input.
        size: the size of the state.
        bias: whether there are b_ih and b_hh.

    Shapes: x `(N, inputs)`, state `(N, size)` → `(N, size)`; both without N too. Names are PyTorch's.
    """

    inputs: int
    size: int

    _kind: Kind

    def __init__(self, inputs: int, size: int, bias: bool = True) -> None:
        name = type(self).__name__
        positive(name, inputs=inputs, size=size)
        self.inputs, self.size = inputs, size
        kind = self._kind
        rule, bias = first_values(size), truth(f"{name}: bias", bias)
        self.weight_ih: Param = self.parameter((kind.gates * size, inputs), rule)
        self.weight_hh: Param = self.parameter((kind.gates * size, size), rule)
        self.bias_ih: Param | None = self.parameter((kind.gates * size,), rule) if bias else None
        self.bias_hh: Param | None = self.parameter((kind.gates * size,), rule) if bias else None

    def forward(self, ops: Any, x: Any, state: Any = None) -> Any:
        """The state after one more input.

        Args:
            x: `(N, inputs)` or `(inputs,)`.
            state: `(N, size)` or `(size,)`, or of an LSTM the two of them; None is zeros.

        Returns: the next state, of the same form.
        Raises: ShapeError for another shape, OptionError for another number of parts.
        """
        shape, kind = shape_of(self, x), self._kind
        if len(shape) not in (1, 2) or shape[-1] != self.inputs:
            raise ShapeError(f"{type(self).__name__}: x must be (N, {self.inputs}) or ({self.inputs},), got x: {shape}")
        flat = (*shape[:-1], self.size)
        p = projected(ops, kind, ops.reshape(x, (-1, self.inputs)), self.weight_ih, self.bias_ih, self.bias_hh)
        batch = (p.shape[0], self.size)
        if state is None:
            parts = tuple([ops.zeros(batch, dtype=p.dtype)] * len(kind.parts))
        else:
            parts = tuple([ops.reshape(s, batch) for s in checked_state(self, kind, state, flat)])
        after = kind.step(ops, p, parts, self.weight_hh, self.bias_hh)
        after = tuple([ops.reshape(s, flat) for s in after])
        return after if len(after) > 1 else after[0]

    def extra(self) -> str:
        """Sizes."""
        return f"{self.inputs}, {self.size}" + ("" if self.bias_ih else ", bias=False")


class RNNCell(Cell):
    """One step of `RNN`: h ← tanh(W_ih x + b_ih + W_hh h + b_hh).

    Args:
        inputs: the size of an input.
        size: the size of the state.
        bias: whether there are b_ih and b_hh.
        nonlinearity: "tanh" or "relu".
    """

    def __init__(self, inputs: int, size: int, bias: bool = True, nonlinearity: Nonlinearity = "tanh") -> None:
        self._kind = Plain(nonlinearity_of("RNNCell", nonlinearity))
        super().__init__(inputs, size, bias)


class LSTMCell(Cell):
    """One step of `LSTM`: its state and its result are pairs (h, c); arguments as `Cell`."""

    _kind = LongShort()


class GRUCell(Cell):
    """One step of `GRU`; arguments as `Cell`."""

    _kind = Gated()
