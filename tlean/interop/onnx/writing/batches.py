"""A model for every batch size: the texts of three sizes, compared; a whole number that grows with the batch is computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tlean.errors import OptionError

from .model import ModelWriter, whole
from .writer import Body, Function, Node


class Fixed(OptionError):
    """The program computes with the batch's size in a way that no graph says."""


def join(writers: Sequence[ModelWriter], sizes: Sequence[int], source: tuple[str, int]) -> ModelWriter:
    """The first text with what depends on the batch computed.

    Args:
        writers: of the same program for batches of these sizes.
        sizes: three of them.
        source: an input of the model, and its axis that is the batch.

    Raises: Fixed, saying what depends on the batch.
    """
    first = writers[0]
    _same_nodes([w.nodes for w in writers], [w.arrays for w in writers])
    changed = _changed(writers, sizes)
    if not changed:
        return first
    head = first
    body, head.nodes = head.nodes, []
    shape = head.op("Shape", source[0])
    size = head.op("Gather", shape, head.array([source[1]], "int64"), axis=0)
    known: dict[tuple[bytes, bytes], str] = {}
    for name, (factor, offset) in changed.items():
        del head.arrays[name]
        key = factor.tobytes(), offset.tobytes()
        if key not in known:
            value = size if len(factor) == 1 and factor[0] == 1 else head.op("Mul", size, head.array(factor))
            known[key] = head.op("Add", value, head.array(offset)) if offset.any() else value
        head.nodes.append(Node("Identity", [known[key]], [name]))
    head.nodes += body
    return head


def _changed(writers: Sequence[ModelWriter], sizes: Sequence[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    result = {}
    for name, value in writers[0].arrays.items():
        others = [w.arrays[name] for w in writers]
        if all(v.shape == value.shape and v.dtype == value.dtype and v.tobytes() == value.tobytes() for v in others):
            continue
        if not whole(value) or not value.ndim or any(v.shape != value.shape for v in others):
            raise Fixed("an array that it computes with has the size of the batch in it")
        factor = (others[1] - value) // (sizes[1] - sizes[0])
        offset = value - factor * sizes[0]
        if any((factor * n + offset != v).any() for n, v in zip(sizes, others, strict=True)):
            raise Fixed("a size is not in proportion to that of the batch")
        result[name] = factor, offset
    return result


def _same_nodes(texts: Sequence[list[Node]], arrays: Sequence[dict[str, np.ndarray]]) -> None:
    if len({len(t) for t in texts}) != 1 or len({tuple(a) for a in arrays}) != 1:
        raise Fixed("the program has other ops for another batch")
    for nodes in zip(*texts, strict=True):
        first = nodes[0]
        if any((n.kind, n.inputs, n.outputs) != (first.kind, first.inputs, first.outputs) for n in nodes):
            raise Fixed("the program has other ops for another batch")
        _same_attributes(nodes, arrays)
        functions = [n.function for n in nodes if n.function is not None]
        if functions:
            first.function = _same_function(functions)


def _same_attributes(nodes: Sequence[Node], arrays: Sequence[dict[str, np.ndarray]]) -> None:
    for key, value in nodes[0].attributes.items():
        others: list[Any] = [n.attributes.get(key) for n in nodes]
        if isinstance(value, Body):
            if any(_ends(o) != _ends(value) for o in others):
                raise Fixed("a loop has another body for another batch")
            _same_nodes([o.nodes for o in others], arrays)
            for place in ("inputs", "outputs"):
                typed = zip(*(getattr(o, place) for o in others), strict=True)
                setattr(value, place, [(t[0][0], _common([spec for _, spec in t])) for t in typed])
        elif any(_text(o) != _text(value) for o in others):
            raise Fixed(f"{nodes[0].kind} has the size of the batch in its {key}")


class _Open(NamedTuple):
    # Of an array whose shape depends on the batch.
    dtype: str
    shape: None = None


def _common(specs: Sequence[Any]) -> Any:
    return specs[0] if len(set(specs)) == 1 else _Open(specs[0].dtype)


def _ends(body: Body) -> Any:
    return [n for n, _ in body.inputs], [n for n, _ in body.outputs]


def _text(value: Any) -> Any:
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def _same_function(functions: Sequence[Function]) -> Function:
    first = functions[0]
    if any(f.inputs != first.inputs or f.outputs != first.outputs for f in functions):
        raise Fixed(f"{first.name} is written another way for another batch")
    try:
        _same_nodes([f.nodes for f in functions], [{}] * len(functions))
    except Fixed as error:
        raise Fixed(f"{first.name}: {error}") from None
    if all(f.call == first.call for f in functions):
        return first
    # Its options are those of a batch, which a reader must not take.
    return Function(first.name, first.inputs, first.nodes, first.outputs)
