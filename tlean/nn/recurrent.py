"""Recurrent layers, unrolled over ops: one program whose length is the sequence's."""

from __future__ import annotations

import math
from typing import Any

from tlean.arguments import truth
from tlean.errors import ShapeError

from .basic import positive
from .init import uniform
from .module import Module, shape_of


class _Recurrent(Module):
    """x `(N, T, inputs)` → every step's state `(N, T, size)`, or with `last=True` the last one `(N, size)`.

    Weights as in PyTorch: `weight_ih (gates·size, inputs)`, `weight_hh (gates·size, size)`, `bias_ih`, `bias_hh`, gates stacked in
    PyTorch's order; first values uniform in ±1/√size.
    """

    gates = 1

    def __init__(self, inputs: int, size: int, last: bool = False) -> None:
        positive(type(self).__name__, inputs=inputs, size=size)
        rule = uniform(-1 / math.sqrt(size), 1 / math.sqrt(size))
        self.inputs, self.size, self.last = inputs, size, truth(f"{type(self).__name__}: last", last)
        self.weight_ih = self.parameter((self.gates * size, inputs), rule)
        self.weight_hh = self.parameter((self.gates * size, size), rule)
        self.bias_ih = self.parameter((self.gates * size,), rule)
        self.bias_hh = self.parameter((self.gates * size,), rule)

    def step(self, ops: Any, x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """The state after one more input x `(N, inputs)`; its first entry is the output."""
        raise NotImplementedError

    def start(self, ops: Any, batch: int) -> tuple[Any, ...]:
        """The state before the first step: zeros."""
        return (ops.broadcast_to(ops.const(0.0), (batch, self.size)),)

    def forward(self, ops: Any, x: Any) -> Any:
        """The states, or the last one."""
        if len(shape_of(self, x)) != 3 or x.shape[2] != self.inputs or x.shape[1] < 1:
            raise ShapeError(f"{type(self).__name__}: x must be (N, T, {self.inputs}) with T at least 1, got x: {shape_of(self, x)}")
        batch, length, _ = x.shape
        state, outputs = self.start(ops, batch), []
        for t in range(length):
            # A step takes its own slice of x, so that no gradient of the whole sequence is made per step where x needs none.
            now = ops.reshape(ops.slice(x, (0, t, 0), (batch, t + 1, self.inputs)), (batch, self.inputs))
            state = self.step(ops, now, state)
            outputs.append(state[0])
        return outputs[-1] if self.last else ops.stack(outputs, axis=1)

    def project(self, ops: Any, x: Any, h: Any) -> tuple[list[Any], list[Any]]:
        """W_ih x + b_ih and W_hh h + b_hh, cut into gates `(N, size)`."""
        return self.cut(ops, ops.linear(self.weight_ih, self.bias_ih, x)), self.cut(ops, ops.linear(self.weight_hh, self.bias_hh, h))

    def cut(self, ops: Any, y: Any) -> list[Any]:
        """The gates of `(N, gates·size)`."""
        batch, s = y.shape[0], self.size
        return [ops.slice(y, (0, k * s), (batch, (k + 1) * s)) for k in range(self.gates)]

    def extra(self) -> str:
        """Sizes."""
        return f"{self.inputs}, {self.size}" + (", last=True" if self.last else "")


class RNN(_Recurrent):
    """h ← tanh(W_ih x + b_ih + W_hh h + b_hh).

    Args:
        inputs: the size of an input.
        size: the size of the state.
        last: give the last state `(N, size)` alone, not all of them `(N, T, size)`.

    Source: Elman 1990.
    """

    def step(self, ops: Any, x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """The next state.

        Args:
            ops: a backend.
            x: `(N, inputs)`.
            state: the state, `(N, size)`, as a tuple of one.
        """
        from_x, from_h = ops.linear(self.weight_ih, self.bias_ih, x), ops.linear(self.weight_hh, self.bias_hh, state[0])
        return (ops.tanh(ops.add(from_x, from_h)),)


class GRU(_Recurrent):
    """Gated recurrent unit; arguments as `RNN`.

    r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r·h_n), h ← (1 − z)·n + z·h, where x_g and h_g are the projections of the input and
    the state for gate g.

    Source: Cho et al. 2014, with PyTorch's placement of the reset gate.
    """

    gates = 3

    def step(self, ops: Any, x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """The next state.

        Args:
            ops: a backend.
            x: `(N, inputs)`.
            state: the state, `(N, size)`, as a tuple of one.
        """
        (h,) = state
        (xr, xz, xn), (hr, hz, hn) = self.project(ops, x, h)
        r, z = ops.sigmoid(ops.add(xr, hr)), ops.sigmoid(ops.add(xz, hz))
        n = ops.tanh(ops.add(xn, ops.mul(r, hn)))
        return (ops.add(n, ops.mul(z, ops.sub(h, n))),)


class LSTM(_Recurrent):
    """Long short-term memory; arguments as `RNN`.

    i, f, o = σ(…), g = tanh(…), c ← f·c + i·g, h ← o·tanh(c).

    Source: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber, Cummins 2000 for the forget gate.
    """

    gates = 4

    def start(self, ops: Any, batch: int) -> tuple[Any, ...]:
        """Zero output and zero cell.

        Args:
            ops: a backend.
            batch: N.
        """
        (zero,) = super().start(ops, batch)
        return zero, zero

    def step(self, ops: Any, x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """The next output and cell.

        Args:
            ops: a backend.
            x: `(N, inputs)`.
            state: output and cell, each `(N, size)`.
        """
        h, c = state
        summed = ops.add(ops.linear(self.weight_ih, self.bias_ih, x), ops.linear(self.weight_hh, self.bias_hh, h))
        i, f, g, o = self.cut(ops, summed)
        c = ops.add(ops.mul(ops.sigmoid(f), c), ops.mul(ops.sigmoid(i), ops.tanh(g)))
        return ops.mul(ops.sigmoid(o), ops.tanh(c)), c
