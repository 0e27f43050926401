"""Rows by number. Indices that differ between lanes become numbers of rows of all lanes, one lane after another."""

from __future__ import annotations

from typing import Any

from ...shapes import Shape, size
from ..layout import row_strides
from ..rows.take import geometry
from .call import Call, batching, lanes_first, own_positions, shaped

#: What is out of range leaves nothing behind in these modes, and raises in the others.
_DROPPED = ("drop", "fill")


def _rows_of(ops: Any, x: Any, axis: int | None) -> Any:
    # (B, *lane) as (B·rows, *the other axes), with the rows along that axis of a lane; as one line of elements where it is None.
    lane = tuple(x.shape[1:])
    if axis is None:
        return shaped(ops, x, (x.shape[0] * size(lane),))
    if axis:
        x = ops.permute(x, (0, axis + 1, *(k for k in range(1, len(x.shape)) if k != axis + 1)))
    return shaped(ops, x, (x.shape[0] * lane[axis], *lane[:axis], *lane[axis + 1 :]))


def _from_rows(ops: Any, y: Any, lane: Shape, axis: int | None, lanes: int) -> Any:
    # What undoes it.
    if axis is None:
        return shaped(ops, y, (lanes, *lane))
    y = shaped(ops, y, (lanes, lane[axis], *lane[:axis], *lane[axis + 1 :]))
    return y if not axis else ops.permute(y, (0, *range(2, axis + 2), 1, *range(axis + 2, len(lane) + 1)))


def _in_all_lanes(ops: Any, i: Any, rows: int, mode: str) -> Any:
    # (B, *indices) of a lane's rows as indices of the rows of all lanes; -1 for what is out of range.
    shape = tuple(i.shape)
    return ops._locate(i, None, shape=shape, size=rows, step=1, along=(rows, *(0,) * (len(shape) - 1)), mode=mode)


def _taken(call: Call, x_lane: Shape, axis: int | None, mode: str) -> Any:
    ops, (x, i) = call.ops, call.inputs
    if not call.batched[1]:
        if axis is None:
            x, axis = shaped(ops, x, (call.size, size(x_lane))), 0
        return ops.take(x, i, axis=axis + 1, mode=mode)
    if not call.batched[0]:
        return lanes_first(ops, ops.take(x, i, axis=axis, mode=mode), axis or 0)
    at = _in_all_lanes(ops, i, geometry(x_lane, axis)[1], mode)
    y = ops.take(_rows_of(ops, x, axis), at, axis=0, mode="drop" if mode in _DROPPED else "strict")
    return _entries_inward(ops, y, len(call.lane(1)), axis)


def _entries_inward(ops: Any, y: Any, count: int, axis: int | None) -> Any:
    # (B, *indices, *before, *after) as (B, *before, *indices, *after).
    if not axis:
        return y
    places = range(len(y.shape))
    return ops.permute(y, (0, *places[1 + count : 1 + count + axis], *places[1 : 1 + count], *places[1 + count + axis :]))


def _entries_outward(ops: Any, v: Any, count: int, axis: int | None) -> Any:
    # (B, *before, *indices, *after) as (B, *indices, *before, *after).
    if not axis:
        return v
    places = range(len(v.shape))
    return ops.permute(v, (0, *places[1 + axis : 1 + axis + count], *places[1 : 1 + axis], *places[1 + axis + count :]))


@batching("take")
def _take(call: Call) -> Any:
    return _taken(call, call.lane(0), call.options["axis"], call.options["mode"])


@batching("gather_scalar", "gather_row")
def _gather_strict(call: Call) -> Any:
    return _taken(call, call.lane(0), 0, "strict")


@batching("gather_scalar_nat", "gather_row_ref", "gather_vec_nat", "gather_rows_nat")
def _gather(call: Call) -> Any:
    return _taken(call, call.lane(0), 0, "drop")


@batching("_scatter_rows")
def _scatter(call: Call) -> Any:
    ops, shape, axis, mode = call.ops, call.options["shape"], call.options["axis"], call.options["mode"]
    v, rows = call.spread(0), geometry(shape, axis)[1]
    if not call.batched[1]:
        if axis is None:
            y = call.run(v, call.inputs[1], shape=(call.size, size(shape)), axis=1)[0]
            return shaped(ops, y, (call.size, *shape))
        return call.run(v, call.inputs[1], shape=(call.size, *shape), axis=axis + 1)
    rest = () if axis is None else (*shape[:axis], *shape[axis + 1 :])
    v = _entries_outward(ops, v, len(call.lane(1)), axis)
    at = _in_all_lanes(ops, call.inputs[1], rows, mode)
    y = call.run(v, at, shape=(call.size * rows, *rest), axis=0, mode="drop" if mode in _DROPPED else "strict")[0]
    return _from_rows(ops, y, shape, axis, call.size)


def _written(call: Call, axis: int | None, mode: str, what: str) -> Any:
    ops, lane = call.ops, call.lane(0)
    x, v, i = call.spread(0), call.spread(1), call.inputs[2]

    def write(x: Any, v: Any, i: Any, axis: int, mode: str) -> Any:
        if what == "set":
            return ops._set_rows(x, v, i, axis=axis, mode=mode)
        return ops._scatter_into(x, v, i, axis=axis, mode=mode, what=what)

    if not call.batched[2]:
        if axis is None:
            return shaped(ops, write(shaped(ops, x, (call.size, size(lane))), v, i, 1, mode), (call.size, *lane))
        return write(x, v, i, axis + 1, mode)
    at = _in_all_lanes(ops, i, geometry(lane, axis)[1], mode)
    v = _entries_outward(ops, v, len(call.lane(2)), axis)
    y = write(_rows_of(ops, x, axis), v, at, 0, "drop" if mode in _DROPPED else "strict")
    return _from_rows(ops, y, lane, axis, call.size)


@batching("_set_rows")
def _set_rows(call: Call) -> Any:
    return _written(call, call.options["axis"], call.options["mode"], "set")


@batching("_scatter_into")
def _scatter_into(call: Call) -> Any:
    return _written(call, call.options["axis"], call.options["mode"], call.options["what"])


@batching("scatter_add_vec", "scatter_add_row")
def _scatter_add(call: Call) -> Any:
    return _written(call, 0, "strict", "add")


# Positions and links ---------------------------------------------------------------------------------------------------------


@batching("_locate")
def _locate(call: Call) -> Any:
    shape, picked = call.out, call.options["pick"] is not None
    return call.run(
        call.aligned(0, len(shape) + picked),
        call.aligned(1, len(shape)),
        shape=(call.size, *shape),
        along=(0, *call.options["along"]),
    )


def _in_own_lane(ops: Any, at: Any, lanes: int, rows: int) -> Any:
    # Numbers of rows of all lanes as numbers of their lanes' rows; -1 stays.
    at = shaped(ops, at, (lanes, at.shape[0] // max(lanes, 1)))
    return own_positions(ops, at, rows)


@batching("_neighbours")
def _neighbours(call: Call) -> Any:
    ops, entries = call.ops, call.options["size"]
    at = _in_all_lanes(ops, call.inputs[0], entries, call.options["mode"])
    made = call.run(at, size=call.size * entries, mode="drop")[0]
    # Which entry it is, or where a neighbour is.
    rows = entries if call.options["which"] in ("last", "first") else size(call.lane(0))
    return _in_own_lane(ops, made, call.size, rows)


@batching("_inverse_links")
def _inverse(call: Call) -> Any:
    ops, rows = call.ops, call.lane(0)[0]
    at = shaped(ops, _in_all_lanes(ops, call.inputs[0], rows, "drop"), (call.size * rows,))
    return _in_own_lane(ops, call.run(at)[0], call.size, rows)


@batching("_chain")
def _chain(call: Call) -> Any:
    ops, axis, lane = call.ops, call.options["axis"], call.lane(0)
    a, b, link = call.spread(0), call.spread(1), call.inputs[2]
    if not call.batched[2]:
        return call.run(a, b, link, axis=axis + 1)
    link = shaped(ops, _in_all_lanes(ops, link, lane[axis], "drop"), (call.size * lane[axis],))
    y = call.run(_rows_of(ops, a, axis), _rows_of(ops, b, axis), link, axis=0)[0]
    return _from_rows(ops, y, lane, axis, call.size)


# Boxes -----------------------------------------------------------------------------------------------------------------------


def _box_positions(call: Call, at: Any, lane: Shape, box: Shape) -> Any:
    # Where each element of each lane's box is among the elements of all lanes.
    ops, starts, steps = call.ops, call.options["starts"], call.options["steps"]
    strides = row_strides(lane)
    first = sum(a * s for a, s in zip(starts, strides, strict=True))
    prior = ops._full(shape=(), value=first, dtype="int64")
    along = (size(lane), *(a * s for a, s in zip(steps, strides, strict=True)))
    at = shaped(ops, at, (call.size, *(1,) * len(box)))
    return ops._locate(at, prior, shape=(call.size, *box), size=max(size(lane), 1), step=1, along=along, mode="drop")


@batching("_set_box")
def _set_box(call: Call) -> Any:
    ops, lane, box = call.ops, call.lane(0), call.lane(1)
    x, v, at = call.spread(0), call.spread(1), call.inputs[2]
    if not call.batched[2]:
        return call.run(x, v, at, starts=(0, *call.options["starts"]), steps=(1, *call.options["steps"]))
    places = _box_positions(call, at, lane, box)
    return shaped(ops, ops._set_rows(_rows_of(ops, x, None), v, places, axis=0, mode="drop"), (call.size, *lane))


@batching("_take_box")
def _take_box(call: Call) -> Any:
    ops, lane, box = call.ops, call.lane(0), call.options["box"]
    if not call.batched[1]:
        options = {"box": (call.size, *box), "starts": (0, *call.options["starts"]), "steps": (1, *call.options["steps"])}
        return call.run(call.spread(0), call.inputs[1], **options)
    return ops.take(_rows_of(ops, call.spread(0), None), _box_positions(call, call.inputs[1], lane, box), axis=0, mode="drop")
