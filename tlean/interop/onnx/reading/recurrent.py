"""RNN, LSTM and GRU: a product for the inputs of all steps, then a scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean.loops import scan
from tlean.nn.cells import Gated, LongShort

from .registry import Call, reads

_Function = Callable[[Any, Any], Any]
#: The functions of gates, with the values that alpha and beta have where a node says none; None where there is none.
_FUNCTIONS: dict[str, tuple[Callable[..., Any], float | None, float | None]] = {
    "affine": (lambda o, x, a, b: o.shift(o.scale(x, a), b), 1.0, 0.0),
    "elu": (lambda o, x, a, b: o.elu(x, a), 1.0, None),
    "hardsigmoid": (lambda o, x, a, b: o.clamp(o.shift(o.scale(x, a), b), 0.0, 1.0), 0.2, 0.5),
    "leakyrelu": (lambda o, x, a, b: o.leaky_relu(x, a), 0.01, None),
    "relu": (lambda o, x, a, b: o.relu(x), None, None),
    "scaledtanh": (lambda o, x, a, b: o.scale(o.tanh(o.scale(x, b)), a), 1.0, 1.0),
    "sigmoid": (lambda o, x, a, b: o.sigmoid(x), None, None),
    "softplus": (lambda o, x, a, b: o.softplus(x), None, None),
    "softsign": (lambda o, x, a, b: o.softsign(x), None, None),
    "tanh": (lambda o, x, a, b: o.tanh(x), None, None),
    "thresholdedrelu": (lambda o, x, a, b: o.threshold(x, a, 0.0), 1.0, None),
}
_GATES = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


def _functions(c: Call, ways: int) -> list[list[_Function]]:
    # The functions of each direction's gates. Only those that have an alpha, or a beta, take one from the lists.
    names = c.get("activations") or _GATES[c.kind] * ways
    alphas, betas = iter(c.get("activation_alpha") or ()), iter(c.get("activation_beta") or ())

    def function(name: str) -> _Function:
        if name.lower() not in _FUNCTIONS:
            raise c.refuse(f"the activation {name}")
        apply, alpha, beta = _FUNCTIONS[name.lower()]
        a, b = (given if given is None else next(values, given) for given, values in ((alpha, alphas), (beta, betas)))
        return lambda ops, x: apply(ops, x, a, b)

    made, each = [function(n) for n in names], len(_GATES[c.kind])
    if len(made) != ways * each:
        raise c.refuse(f"{len(made)} activations for {ways} direction{'s'[: ways - 1]}")
    return [made[k * each : (k + 1) * each] for k in range(ways)]


def _split(ops: Any, x: Any, count: int, axis: int) -> list[Any]:
    size, rank = x.shape[axis] // count, len(x.shape)
    return [
        ops.slice(
            x,
            tuple(k * size if a == axis else 0 for a in range(rank)),
            tuple((k + 1) * size if a == axis else n for a, n in enumerate(x.shape)),
        )
        for k in range(count)
    ]


class _Layer:
    # One direction: weights without the axis of directions, and what a step makes of the state.

    def __init__(self, c: Call, weights: Sequence[Any], functions: Sequence[_Function], plain: bool) -> None:
        self.w, self.r, self.b, self.peep = weights
        self.kind, self.functions, self.plain = c.kind, functions, plain
        self.clip, self.joined = c.get("clip"), bool(c.get("input_forget", 0))
        self.after = bool(c.get("linear_before_reset", 0))

    def clipped(self, ops: Any, x: Any) -> Any:
        return x if self.clip is None else ops.clamp(x, -self.clip, self.clip)

    def ready(self, ops: Any, x: Any) -> Any:
        # What a step adds of the input. A fused step of this library has its gates in another order.
        order = None
        if self.plain:
            order = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}[self.kind]
        n = {"RNN": 1, "GRU": 3, "LSTM": 4}[self.kind]

        def sorted_rows(v: Any) -> Any:
            return v if order is None else ops.concat([_split(ops, v, n, 0)[k] for k in order], axis=0)

        self.w, self.r = sorted_rows(self.w), sorted_rows(self.r)
        bias = self.inner = None
        if self.b is not None:
            outer, inner = map(sorted_rows, _split(ops, self.b, 2, 0))
            apart = self.kind == "GRU" and self.after
            bias, self.inner = (outer, inner) if apart else (ops.add(outer, inner), None)
        return ops.linear(self.w, bias, x)

    def step(self, ops: Any, x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.plain:
            cell: Any = LongShort() if self.kind == "LSTM" else Gated()
            return cell.step(ops, x, state, self.r, self.inner)  # type: ignore[no-any-return]
        return getattr(self, f"_{self.kind.lower()}")(ops, x, *state)  # type: ignore[no-any-return]

    def _rnn(self, ops: Any, x: Any, h: Any) -> tuple[Any, ...]:
        (f,) = self.functions
        return (f(ops, self.clipped(ops, ops.add(x, ops.linear(self.r, None, h)))),)

    def _gru(self, ops: Any, x: Any, h: Any) -> tuple[Any, ...]:
        f, g = self.functions
        xz, xr, xh = _split(ops, x, 3, 1)
        if self.after:
            hz, hr, hh = _split(ops, ops.linear(self.r, self.inner, h), 3, 1)
        else:
            rows = _split(ops, self.r, 3, 0)
            hz, hr = (ops.linear(rows[k], None, h) for k in (0, 1))
        z, r = (f(ops, self.clipped(ops, ops.add(a, b))) for a, b in ((xz, hz), (xr, hr)))
        more = ops.mul(r, hh) if self.after else ops.linear(rows[2], None, ops.mul(r, h))
        new = g(ops, self.clipped(ops, ops.add(xh, more)))
        return (ops.add(new, ops.mul(z, ops.sub(h, new))),)

    def _lstm(self, ops: Any, x: Any, h: Any, cell: Any) -> tuple[Any, ...]:
        f, g, last = self.functions
        i, o, forget, new = _split(ops, ops.add(x, ops.linear(self.r, None, h)), 4, 1)
        pi, po, pf = _split(ops, self.peep, 3, 0) if self.peep is not None else (None, None, None)

        def gate(v: Any, weight: Any, state: Any) -> Any:
            return f(ops, self.clipped(ops, v if weight is None else ops.add(v, ops.mul(state, weight))))

        i = gate(i, pi, cell)
        forget = ops.sub(ops._own_constant(np.array(1, str(i.dtype))), i) if self.joined else gate(forget, pf, cell)
        cell = ops.add(ops.mul(forget, cell), ops.mul(i, g(ops, self.clipped(ops, new))))
        return ops.mul(gate(o, po, cell), last(ops, cell)), cell


def _along(c: Call, layer: _Layer, x: Any, state: tuple[Any, ...], lengths: Any, back: bool) -> tuple[Any, tuple[Any, ...]]:
    # The outputs of all steps, and the last state. A sequence that is over keeps its state, and has zeros as outputs.
    rows = layer.ready(c.ops, x)
    if lengths is None:

        def step(ops: Any, carry: Any, row: Any) -> Any:
            carry = layer.step(ops, row, carry)
            return carry, carry[0]

        last, ys = scan(step, state, rows, reverse=back)
        return ys, last
    places = c.ref(np.arange(x.shape[0], dtype=np.int64).reshape(-1, 1, 1))
    lives = c.ops.less(places, c.ops.reshape(c.cast(lengths, "int64"), (1, x.shape[1], 1)))

    def live_step(ops: Any, carry: Any, row: Any) -> Any:
        made = layer.step(ops, row[0], carry)
        kept = tuple(ops.where(row[1], new, old) for new, old in zip(made, carry, strict=True))
        return kept, ops.where(row[1], made[0], ops._own_constant(np.array(0, str(made[0].dtype))))

    last, ys = scan(live_step, state, (rows, lives), reverse=back)
    return ys, last


@reads("RNN", "GRU", "LSTM")
def _recurrent(
    c: Call, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None, cell: Any = None, peep: Any = None
) -> Any:
    ops, way, swapped = c.ops, c.get("direction", "forward"), bool(c.get("layout", 0))
    ways, size, states = w.shape[0], r.shape[-1], 2 if c.kind == "LSTM" else 1
    backs = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[way]
    if ways != len(backs):
        raise c.refuse(f"{ways} weights for the direction {way}")
    if swapped:
        x = ops.moveaxis(x, 0, 1)
    start = []
    for given in (h, cell)[:states]:
        if given is None:
            start.append(c.ref(np.zeros((ways, x.shape[1], size), str(x.dtype))))
        else:
            start.append(ops.moveaxis(given, 0, 1) if swapped else given)
    functions = _functions(c, ways)
    plain = not c.get("activations") and c.get("clip") is None and peep is None and not c.get("input_forget", 0)
    plain = plain and (c.kind == "LSTM" or (c.kind == "GRU" and bool(c.get("linear_before_reset", 0)) and b is not None))
    outs, ends = [], []
    for k, back in enumerate(backs):

        def own(v: Any, k: int = k) -> Any:
            return None if v is None else ops.reshape(ops.slice(v, (k, *[0] * (len(v.shape) - 1)), (k + 1, *v.shape[1:])), v.shape[1:])

        layer = _Layer(c, [own(v) for v in (w, r, b, peep)], functions[k], plain)
        ys, last = _along(c, layer, x, tuple(map(own, start)), lengths, back)
        outs.append(ys)
        ends.append(last)
    y = ops.stack(outs, axis=1)
    final = [ops.stack([e[k] for e in ends], axis=0) for k in range(states)]
    if swapped:
        return ops.permute(y, (2, 0, 1, 3)), *(ops.moveaxis(v, 0, 1) for v in final)
    return y, *final
