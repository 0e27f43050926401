"""Recurrent layers: the projections of all inputs as one product, then a loop over the steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean._core.array import read_array
from tlean.arguments import truth
from tlean.caching import Cache
from tlean.compiler.graph import Graph
from tlean.compiler.loops.bodies import part
from tlean.compiler.loops.scan import scan_record
from tlean.errors import OptionError, ShapeError
from tlean.ops import OpDef, Spec
from tlean.optim.updates import number
from tlean.programs.running import backend_itself

from ..arguments.literals import Nonlinearity
from .basic import positive
from .cells import Gated, Kind, LongShort, Plain, checked_state, first_values, nonlinearity_of, projected
from .module import Module, shape_of

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _First:
    # A parameter of the first layer under its name without the layer's number, as version 0.1 had it.
    def __init__(self, name: str) -> None:
        self.name: str = f"{name}_l0"

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return self if owner is None else getattr(owner, self.name)

    def __set__(self, owner: Any, value: Any) -> None:
        setattr(owner, self.name, value)


class Recurrent(Module):
    """What the recurrent layers have in common.

    Args:
        inputs: the size of an input.
        size: the size of the state.
        last: give the last state `(N, size)` alone, not all of them `(N, T, size)`.
        layers: how many, one on the states of the other.
        bias: whether there are b_ih and b_hh.
        batch_first: x is `(N, T, inputs)`; else `(T, N, inputs)`, PyTorch's default.
        dropout: in training, of the states between layers.
        bidirectional: a second direction from the last step to the first; the states of both are joined along the last axis.

    Shapes: x `(N, T, inputs)` → `(N, T, directions·size)`; `forward` has initial states, lengths and masks. Names, shapes and order of
    gates are PyTorch's: `weight_ih_l0 (gates·size, inputs)`, `weight_hh_l0 (gates·size, size)`, `bias_ih_l0`, `bias_hh_l0`, then `_l1` …,
    with `_reverse` behind them in the other direction. First values are uniform in ±1/√size.
    """

    inputs: int
    size: int
    layers: int
    last: bool
    bias: bool

    #: Names of version 0.1, of which files may be.
    __tlean_renamed__: dict[str, str] = {name: f"{name}_l0" for name in _WEIGHTS}

    weight_ih: _First
    weight_hh: _First
    bias_ih: _First
    bias_hh: _First
    weight_ih, weight_hh, bias_ih, bias_hh = (_First(name) for name in _WEIGHTS)

    _kind: Kind

    def __init__(
        self,
        inputs: int,
        size: int,
        last: bool = False,
        *,
        layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        name = type(self).__name__
        positive(name, inputs=inputs, size=size, layers=layers)
        self.inputs, self.size, self.layers = inputs, size, layers
        self.last, self.bias = truth(f"{name}: last", last), truth(f"{name}: bias", bias)
        self.batch_first: bool = truth(f"{name}: batch_first", batch_first)
        self.bidirectional: bool = truth(f"{name}: bidirectional", bidirectional)
        self.dropout: float = number(f"{name}: dropout", dropout, 0.0, 1.0)
        self._endings = ("", "_reverse") if bidirectional else ("",)
        rule, rows = first_values(size), self._kind.gates * size
        for layer in range(layers):
            wide = size * len(self._endings) if layer else inputs
            for ending in self._endings:
                shapes = ((rows, wide), (rows, size), (rows,), (rows,))
                for weight, shape in zip(_WEIGHTS, shapes, strict=True):
                    made = self.parameter(shape, rule) if bias or len(shape) == 2 else None
                    setattr(self, f"{weight}_l{layer}{ending}", made)

    def forward(self, ops: Any, x: Any, state: Any = None, lengths: Any = None, mask: Any = None, states: bool = False) -> Any:
        """The states of the last layer, or the last one.

        Args:
            x: `(N, T, inputs)`; with `batch_first=False` `(T, N, inputs)`; or one sequence `(T, inputs)`.
            state: before the first step, `(layers·directions, N, size)`, without N for one sequence; of an LSTM the pair (h, c) of them.
                None is zeros.
            lengths: of the sequences, `(N,)` integers: later steps do not count; their outputs are 0.
            mask: `(N, T)`, Boolean: which steps count; the others leave the state as it is, and their outputs are 0.
            states: give the last states too.

        Returns: `(N, T, directions·size)`, or with `last` `(N, directions·size)`: the last state of each direction, which for the reversed
            one is at the first step. With `states` a pair of it and the last states of all layers, of the form of `state`.
        Raises: ShapeError for a shape that does not fit, OptionError for lengths together with a mask.
        """
        x, mask, alone = self._steps_first(ops, x, lengths, mask)
        length, batch, _ = x.shape
        kind = self._kind
        firsts: tuple[Any, ...] | None = None
        if state is not None:
            rows = self.layers * len(self._endings)
            firsts = checked_state(self, kind, state, (rows, self.size) if alone else (rows, batch, self.size))
            firsts = tuple([ops.reshape(s, (rows, batch, self.size)) for s in firsts])
        ends: list[tuple[Any, ...]] = []
        for layer in range(self.layers):
            if layer and self.dropout and ops.training(self):
                x = ops.dropout(x, self.dropout)
            outputs = []
            for ending in self._endings:
                k = len(ends)
                own = None if firsts is None else tuple([_row(ops, s, k) for s in firsts])
                stacked = layer + 1 < self.layers or not self.last
                end, ys = self._run(ops, f"_l{layer}{ending}", x, own, mask, stacked, bool(ending))
                ends.append(end)
                outputs.append(ys if stacked else end[0])
            x = outputs[0] if len(outputs) == 1 else ops.concat(outputs, axis=-1)
        if self.last:
            y = ops.reshape(x, x.shape[1:]) if alone else x
        elif alone:
            y = ops.reshape(x, (length, x.shape[2]))
        else:
            y = ops.swapaxes(x, 0, 1) if self.batch_first else x
        return (y, self._last_states(ops, ends, alone)) if truth(f"{type(self).__name__}: states", states) else y

    def _run(self, ops: Any, ending: str, x: Any, state: Any, mask: Any, stacked: bool, reverse: bool) -> tuple[tuple[Any, ...], Any]:
        # One layer in one direction: its last state, and its outputs at all steps where they are wanted.
        kind = self._kind
        own = [getattr(self, f"{name}{ending}") for name in _WEIGHTS]
        p = projected(ops, kind, x, own[0], own[2], own[3])
        if state is None:
            state = tuple([ops.zeros((p.shape[1], self.size), dtype=p.dtype)] * len(kind.parts))
        state = tuple([s if s.dtype == p.dtype else ops.astype(s, p.dtype) for s in state])
        length, batch, _ = p.shape
        biased = own[3] is not None and not kind.joined
        key = kind, length, batch, self.size, str(p.dtype), mask is not None, biased, stacked, reverse
        record = _LOOPS.make(key, lambda: _loop(*key))
        inputs = [*state, p, *(() if mask is None else (mask,)), ops.value(own[1]), *((ops.value(own[3]),) if biased else ())]
        made = backend_itself(ops).apply(record, tuple(inputs), {})
        made = made if isinstance(made, tuple) else (made,)
        end, ys = tuple(made[: len(kind.parts)]), made[-1]
        if stacked and mask is not None:
            ys = ops.where(mask, ys, 0.0)
        return end, ys

    def _steps_first(self, ops: Any, x: Any, lengths: Any, mask: Any) -> tuple[Any, Any, bool]:
        # x as (T, N, inputs), which steps count as (T, N, 1) or None, and whether there is no N.
        name, shape = type(self).__name__, shape_of(self, x)
        alone = len(shape) == 2
        if len(shape) not in (2, 3) or shape[-1] != self.inputs or 0 in shape:
            wanted = f"(N, T, {self.inputs})" if self.batch_first else f"(T, N, {self.inputs})"
            raise ShapeError(f"{name}: x must be {wanted}, or (T, {self.inputs}), with N and T at least 1, got x: {shape}")
        if alone:
            x = ops.reshape(x, (shape[0], 1, shape[1]))
        elif self.batch_first:
            x = ops.swapaxes(x, 0, 1)
        length, batch, _ = x.shape
        return x, self._counted(ops, lengths, mask, length, batch, alone), alone

    def _counted(self, ops: Any, lengths: Any, mask: Any, length: int, batch: int, alone: bool) -> Any:
        name = type(self).__name__
        if lengths is not None and mask is not None:
            raise OptionError(f"{name}: lengths and mask say the same; give one of them")
        if lengths is not None:
            lengths = lengths if hasattr(lengths, "shape") else read_array(lengths)
            if tuple(lengths.shape) != (batch,) or "int" not in str(lengths.dtype):
                got = f"{tuple(lengths.shape)} of {lengths.dtype}"
                raise ShapeError(f"{name}: lengths must be integers of shape ({batch},), got {got}")
            if isinstance(lengths, np.ndarray) and ((lengths < 0) | (lengths > length)).any():
                raise ShapeError(f"{name}: lengths must be in [0, {length}], got {lengths.tolist()}")
            return ops.less(np.arange(length).reshape(length, 1, 1), ops.reshape(lengths, (1, batch, 1)))
        if mask is None:
            return None
        mask, turned = mask if hasattr(mask, "shape") else read_array(mask), self.batch_first and not alone
        wanted: tuple[int, ...] = (length,) if alone else (batch, length) if turned else (length, batch)
        if tuple(mask.shape) != wanted or "bool" not in str(mask.dtype):
            raise ShapeError(f"{name}: mask must be Boolean of shape {wanted}, got {tuple(mask.shape)} of {mask.dtype}")
        # `reshape` would make floats of an array of Booleans.
        return ops.expand_dims(mask, (1, 2)) if alone else ops.expand_dims(ops.swapaxes(mask, 0, 1) if turned else mask, 2)

    def _last_states(self, ops: Any, ends: list[tuple[Any, ...]], alone: bool) -> Any:
        parts = [ops.stack([end[k] for end in ends], axis=0) for k in range(len(ends[0]))]
        if alone:
            parts = [ops.reshape(s, (len(ends), self.size)) for s in parts]
        return tuple(parts) if len(parts) > 1 else parts[0]

    def extra(self) -> str:
        """Sizes, and the options that are not the default."""
        usual = {"layers": 1, "last": False, "bias": True, "batch_first": True, "dropout": 0.0, "bidirectional": False}
        return ", ".join([f"{self.inputs}, {self.size}", *(f"{k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v)])


#: The loops of layers, by what they are of.
_LOOPS = Cache(256)


def _loop(kind: Kind, length: int, batch: int, size: int, dtype: str, masked: bool, biased: bool, stacked: bool, reverse: bool) -> OpDef:
    # The steps of a layer in one direction as an op: of its state, the projections, which steps count, W_hh and b_hh.
    body: Any = Graph(dtype, merge=False)
    rows = kind.gates * size
    state = tuple([body.arg(Spec((batch, size), dtype)) for _ in kind.parts])
    now = [body.arg(Spec((batch, rows), dtype)), *([body.arg(Spec((batch, 1), "bool"))] if masked else [])]
    weights = [body.arg(Spec((rows, size), dtype)), *([body.arg(Spec((rows,), dtype))] if biased else [])]
    after = kind.step(body, now[0], state, weights[0], weights[1] if biased else None)
    if masked:
        after = tuple([body.where(now[1], new, old) for new, old in zip(after, state, strict=True)])
    outputs = [*after, after[0]] if stacked else after
    program = part(body, [r.id for r in (*state, *now, *weights)], [r.id for r in outputs])
    return scan_record(program, len(state), len(now), length, reverse)


def _row(ops: Any, x: Any, k: int) -> Any:
    # x[k] of (rows, N, size).
    _, batch, size = x.shape
    return ops.reshape(ops.slice(x, (k, 0, 0), (k + 1, batch, size)), (batch, size))


class RNN(Recurrent):
    """h ← tanh(W_ih x + b_ih + W_hh h + b_hh), from step to step.

    Args:
        inputs: the size of an input.
        size: the size of the state.
        last: give the last state alone.
        nonlinearity: "tanh" or "relu".
        options: `layers`, `bias`, `batch_first`, `dropout`, `bidirectional`, as for `Recurrent`.

    Source: Elman 1990.
    """

    def __init__(self, inputs: int, size: int, last: bool = False, *, nonlinearity: Nonlinearity = "tanh", **options: Any) -> None:
        self._kind = Plain(nonlinearity_of("RNN", nonlinearity))
        super().__init__(inputs, size, last, **options)


class GRU(Recurrent):
    """Gated recurrent unit; arguments as `Recurrent`.

    r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r·h_n), h ← (1 − z)·n + z·h, where x_g and h_g are the projections of the input and
    the state for gate g.

    Source: Cho et al. 2014, with PyTorch's placement of the reset gate.
    """

    _kind = Gated()


class LSTM(Recurrent):
    """Long short-term memory; its state is a pair (h, c), of which h is the output; arguments as `Recurrent`.

    i, f, o = σ(…), g = tanh(…), c ← f·c + i·g, h ← o·tanh(c).

    Source: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber, Cummins 2000 for the forget gate.

    Example:
        >>> layer = tl.nn.LSTM(3, 5).init(0)
        >>> layer.predict(np.ones((2, 7, 3), np.float32)).shape
        (2, 7, 5)
    """

    _kind = LongShort()
