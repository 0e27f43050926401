"""Steps of LSTM and GRU cells: the functions of all gates in one pass, and their gradients.

The gates of a row are next to each other, `(*k, 4·size)`: those of the input, and those of the state, which are added here. Beside the next
state an op gives what its gradient needs: the gates with their functions. These are outputs as the others are, so that derivatives go
through them; where nothing reads them, they are not written.
"""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError
from ...shapes import Shape, size
from ..registry import defop
from ..samples import Arr, bad, good


def _windows(ops: Any, x: Any, count: int) -> list[Any]:
    # The gates of (*k, count·size).
    lead, n = tuple(x.shape[:-1]), x.shape[-1] // count
    return [ops.slice(x, (0,) * len(lead) + (k * n,), (*lead, (k + 1) * n)) for k in range(count)]


def _sum(ops: Any, *terms: Any) -> Any:
    total = None
    for term in terms:
        if term is not None:
            total = term if total is None else ops.add(total, term)
    return total


def _times(ops: Any, t: Any, factor: Any) -> Any:
    return None if t is None else ops.mul(t, factor)


def _zeros(ops: Any, like: Any) -> Any:
    return ops._full(shape=tuple(like.shape), value=0.0)


def _joined(ops: Any, *parts: Any) -> Any:
    # Windows next to each other; one that is None is 0, as large as the first.
    return ops.concat([_zeros(ops, parts[0]) if p is None else p for p in parts], axis=len(parts[0].shape) - 1)


def _check(x: Shape, s: Shape, state: Shape, name: str, count: int) -> None:
    if not state or x != s or x != (*state[:-1], count * state[-1]):
        raise ShapeError(f"x and s must have the shape of {name} with {count} times its last axis")


def _numbers(state: Shape) -> tuple[tuple[int, ...], tuple[float, ...]]:  # ints = (rows, size of the state)
    return (size(state[:-1]), state[-1]), ()


def _step_samples(count: int) -> list:
    shapes: list[Shape] = [(3, 4), (2, 1), (1, 5), (7,), (2, 0), (0, 3), (2, 3, 2), (5, 133)]
    calls = [good(*((*s[:-1], count * s[-1]),) * 2, s) for s in shapes]
    far = Arr((count,), "values", data=(90.0, -90.0, 30.0, -800.0)[:count])
    calls.append(good(far, Arr((count,), "values", data=(0.0,) * count), (1,), smooth=False))
    wrong = [((3, 4 * count), (3, 4 * count + 1), (3, 4)), ((3, 4 * count), (3, 4 * count), (2, 4)), ((count,), (count,), ())]
    return [*calls, *(bad("ShapeError", *shapes) for shapes in wrong)]


# LSTM ---------------------------------------------------------------------------------------------------------------------------------


def _gate_gradient(ops: Any, g: Any, a: Any) -> Any:
    # The cotangent of the sums from that of the gates i, f, g, o with their functions; likewise the tangent of these from that of the sums.
    parts = zip(_windows(ops, g, 4), _windows(ops, a, 4), strict=True)
    return [(ops._tanh_grad if k == 2 else ops._sigmoid_grad)(d, v) for k, (d, v) in enumerate(parts)]


def lstm_parts(ops: Any, x: Any, s: Any, c: Any) -> tuple[Any, Any, list[Any], Any]:
    """A step by other ops: h, c₁, the gates with their functions, tanh c₁."""
    i, f, g, o = gates = [ops.tanh(v) if k == 2 else ops.sigmoid(v) for k, v in enumerate(_windows(ops, ops.add(x, s), 4))]
    c1 = ops.add(ops.mul(f, c), ops.mul(i, g))
    t = ops.tanh(c1)
    return ops.mul(o, t), c1, gates, t


@defop(
    "_lstm_cell", samples=lambda: _step_samples(4), outputs=("h", "c1", "a", "t"), algebraic=False, source="Hochreiter & Schmidhuber 1997"
)
class LSTMCell:
    """i, f, o = σ(x + s), g = tanh(x + s), each of its window, c₁ = f·c + i·g, h = o·tanh c₁; a has i, f, g, o, and t is tanh c₁."""

    def shape(x, s, c):
        _check(x, s, c, "c", 4)
        return [c, c, x, c]

    def kernel_params(x, s, c):
        return _numbers(c)

    def vjp(ops, g, y, x, s, c):
        (gh, gc, ga, gt), (_, _, a, t) = g, y
        gc = _sum(ops, gc, None if gt is None else ops._tanh_grad(gt, t))
        dz = None if ga is None else _joined(ops, *_gate_gradient(ops, ga, a))
        if gh is None and gc is None:
            return dz, dz, None
        more, dc = ops._lstm_cell_grad(gh, gc, a, t, c)
        dz = _sum(ops, dz, more)
        return dz, dz, dc

    def jvp(ops, ts, y, x, s, c):
        (_, _, a, t), tz = y, _sum(ops, ts[0], ts[1])
        i, f, g, o = _windows(ops, a, 4)
        di, df, dg, do = [None] * 4 if tz is None else _gate_gradient(ops, tz, a)
        dc = _sum(ops, _times(ops, df, c), _times(ops, ts[2], f), _times(ops, di, g), _times(ops, dg, i))
        dt = ops._tanh_grad(dc, t)
        dh = _sum(ops, _times(ops, do, t), ops.mul(o, dt))
        return dh, dc, None if tz is None else _joined(ops, di, df, dg, do), dt

    def decompose(ops, x, s, c):
        h, c1, gates, t = lstm_parts(ops, x, s, c)
        return h, c1, _joined(ops, *gates), t


def _lstm_grad_samples() -> list:
    def call(s: Shape, h: bool = True, c: bool = True) -> Any:
        return good(s if h else None, s if c else None, Arr((*s[:-1], 4 * s[-1]), "unit"), Arr(s, "unit"), s)

    shapes: list[Shape] = [(3, 4), (2, 1), (7,), (2, 0), (0, 3), (2, 133)]
    wrong = [(None, None, (3, 16), (3, 4), (3, 4)), ((3, 4), (3, 3), (3, 16), (3, 4), (3, 4)), ((3, 4), None, (3, 12), (3, 4), (3, 4))]
    return [*map(call, shapes), call((3, 5), h=False), call((3, 5), c=False), *(bad("ShapeError", *w) for w in wrong)]


@defop("_lstm_cell_grad", samples=_lstm_grad_samples, optional=("gh", "gc"), outputs=("dz", "dc"), algebraic=False)
class LSTMCellGrad:
    """The gradients of `_lstm_cell` to the sums of its gates and to c, from those of h and c₁, of which one may be absent."""

    def shape(gh, gc, a, t, c):
        _check(a, a, c, "c", 4)
        if any(s not in (None, c) for s in (gh, gc)) or t != c or (gh is None and gc is None):
            raise ShapeError("t, gh and gc must have the shape of c, and gh or gc must be there")
        return [a, c]

    def kernel_params(gh, gc, a, t, c):
        return _numbers(c)

    def decompose(ops, gh, gc, a, t, c):
        i, f, g, o = _windows(ops, a, 4)
        d = _sum(ops, gc, None if gh is None else ops._tanh_grad(ops.mul(gh, o), t))
        parts = [
            ops._sigmoid_grad(ops.mul(d, g), i), ops._sigmoid_grad(ops.mul(d, c), f), ops._tanh_grad(ops.mul(d, i), g),
            None if gh is None else ops._sigmoid_grad(ops.mul(gh, t), o),
        ]  # fmt: skip
        return _joined(ops, *parts), ops.mul(d, f)


# GRU ----------------------------------------------------------------------------------------------------------------------------------


def gru_parts(ops: Any, x: Any, s: Any, h: Any) -> tuple[Any, list[Any]]:
    """A step by other ops: h₁, and the gates with their functions, then the window of s that is n's."""
    (xr, xz, xn), (sr, sz, sn) = _windows(ops, x, 3), _windows(ops, s, 3)
    r, z = ops.sigmoid(ops.add(xr, sr)), ops.sigmoid(ops.add(xz, sz))
    n = ops.tanh(ops.add(xn, ops.mul(r, sn)))
    return ops.add(n, ops.mul(z, ops.sub(h, n))), [r, z, n, sn]


@defop("_gru_cell", samples=lambda: _step_samples(3), outputs=("h1", "a"), algebraic=False, source="Cho et al. 2014")
class GRUCell:
    """r, z = σ(x + s), n = tanh(x + r·s), each of its window, h₁ = n + z·(h − n); a has r, z, n and the window of s that is n's."""

    def shape(x, s, h):
        _check(x, s, h, "h", 3)
        return [h, (*h[:-1], 4 * h[-1])]

    def kernel_params(x, s, h):
        return _numbers(h)

    def decompose(ops, x, s, h):
        h1, gates = gru_parts(ops, x, s, h)
        return h1, _joined(ops, *gates)

    def vjp(ops, g, y, x, s, h):
        (gh, ga), (_, a) = g, y
        found = (None, None, None) if gh is None else ops._gru_cell_grad(gh, a, h)
        if ga is None:
            return found
        (r, z, n, sn), (gr, gz, gn, gs) = _windows(ops, a, 4), _windows(ops, ga, 4)
        to_n = ops._tanh_grad(gn, n)
        to_r, to_z = ops._sigmoid_grad(_sum(ops, gr, ops.mul(to_n, sn)), r), ops._sigmoid_grad(gz, z)
        dx = _sum(ops, found[0], _joined(ops, to_r, to_z, to_n))
        ds = _sum(ops, found[1], _joined(ops, to_r, to_z, _sum(ops, gs, ops.mul(to_n, r))))
        return dx, ds, found[2]

    def jvp(ops, ts, y, x, s, h):
        tx, tu, th = ts
        r, z, n, sn = _windows(ops, y[1], 4)
        if tx is None and tu is None:
            return ops.mul(z, th), None
        (xr, xz, xn), (sr, sz, moved) = ([None] * 3 if v is None else _windows(ops, v, 3) for v in (tx, tu))
        dr, dz = ops._sigmoid_grad(_sum(ops, xr, sr), r), ops._sigmoid_grad(_sum(ops, xz, sz), z)
        dn = ops._tanh_grad(_sum(ops, xn, ops.mul(dr, sn), _times(ops, moved, r)), n)
        apart = ops.neg(dn) if th is None else ops.sub(th, dn)
        dh = _sum(ops, dn, ops.mul(dz, ops.sub(h, n)), ops.mul(z, apart))
        return dh, _joined(ops, dr, dz, dn, moved)


def _gru_grad_samples() -> list:
    shapes: list[Shape] = [(3, 4), (2, 1), (7,), (2, 0), (0, 3), (2, 133)]
    calls = [good(s, Arr((*s[:-1], 4 * s[-1]), "unit"), s) for s in shapes]
    return [*calls, bad("ShapeError", (3, 4), (3, 12), (3, 4)), bad("ShapeError", (3, 3), (3, 16), (3, 4))]


@defop("_gru_cell_grad", samples=_gru_grad_samples, outputs=("dx", "ds", "dh"), algebraic=False)
class GRUCellGrad:
    """The gradients of `_gru_cell` to x, s and h, from that of h₁."""

    def shape(g, a, h):
        _check(a, a, h, "h", 4)
        if g != h:
            raise ShapeError("g must have the shape of h")
        three = (*h[:-1], 3 * h[-1])
        return [three, three, h]

    def kernel_params(g, a, h):
        return _numbers(h)

    def decompose(ops, g, a, h):
        r, z, n, s = _windows(ops, a, 4)
        back = ops.mul(g, z)
        to_n = ops._tanh_grad(ops.sub(g, back), n)
        to_z = ops._sigmoid_grad(ops.mul(g, ops.sub(h, n)), z)
        to_r = ops._sigmoid_grad(ops.mul(to_n, s), r)
        return _joined(ops, to_r, to_z, to_n), _joined(ops, to_r, to_z, ops.mul(to_n, r)), back
