"""The text of a model: nodes by name, before they are ONNX's messages, so that the texts of several batch sizes can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tlean.ops import Spec

from ..package import DOMAIN, ELEMENTS


@dataclass
class Node:
    """An operator, or a call of a function, in `function`."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    function: Function | None = None


@dataclass
class Body:
    """A graph inside a node."""

    inputs: list[tuple[str, Spec]]
    nodes: list[Node] = field(default_factory=list)
    outputs: list[tuple[str, Spec]] = field(default_factory=list)


@dataclass
class Function:
    """An op of this library in terms of ONNX's operators; `call` is what it is here: name and options."""

    name: str
    inputs: list[str]
    nodes: list[Node] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    call: str | None = None


class Writer:
    """Collects nodes; rules call it.

    Args:
        opset: of ONNX's operators.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[Node] = []
        #: Arrays of the model by name: whole numbers that shapes are made of, and others.
        self.arrays: dict[str, np.ndarray] = {}
        self.function: Function | None = None
        #: What the function that is being written reads besides its arguments: the name outside, by the name inside.
        self.lifted: dict[str, str] = {}
        self._count = 0
        self._inside = 0

    def name(self, prefix: str = "v") -> str:
        """A new name."""
        if self.function is not None:
            self._inside += 1
            return f"h{self._inside}"
        self._count += 1
        return f"{prefix}{self._count}"

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node; returns the name of its value, or the names of several."""
        names = [self.name() for _ in range(outputs)]
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        present = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(Node(kind, list(inputs), names, present))
        return names[0] if outputs == 1 else names

    def array(self, value: Any, dtype: str | None = None) -> str:
        """A constant array."""
        array = np.asarray(value, dtype)
        if self.function is not None:
            return self.op("Constant", value=array)
        name = self.name("c")
        self.arrays[name] = array
        return name

    def ints(self, *values: int) -> str:
        """Whole numbers that a shape, or a part of an array, is made of. They may depend on the size of the batch."""
        array = np.array(values, np.int64)
        if self.function is None:
            return self.array(array)
        self._count += 1
        outside = f"n{self._count}"
        self.arrays[outside] = array
        inside = f"n{len(self.lifted)}"
        self.lifted[inside] = outside
        return inside

    def like(self, value: float, dtype: str) -> str:
        """A number of that dtype."""
        return self.array(np.array(value, dtype))

    def filled(self, spec: Spec, value: float = 0) -> str:
        """An array of one number."""
        return str(self.op("Expand", self.like(value, spec.dtype), self.ints(*spec.shape)))

    def open(self, name: str, inputs: Sequence[str], call: str | None) -> Sequence[str]:
        """Begin a function; returns the names of its arguments."""
        arguments = [f"x{k}" if x else "" for k, x in enumerate(inputs)]
        self.function = Function(name, [a for a in arguments if a], call=call)
        self._outer, self.nodes, self.lifted, self._inside = self.nodes, [], {}, 0
        return arguments

    def abandon(self) -> None:
        """Give up the function that was begun."""
        self.nodes, self.function = self._outer, None

    def close(self, outputs: Sequence[str], inputs: Sequence[str]) -> list[str]:
        """End the function, and call it; returns the names of the call's values."""
        function, nodes = self.function, self.nodes
        assert function is not None
        for k, name in enumerate(outputs):
            # ONNX's functions return what their nodes make, each value once.
            if name in function.inputs or name in self.lifted or name in outputs[:k]:
                name = self.op("Identity", name)
            function.outputs.append(name)
        function.inputs += list(self.lifted)
        function.nodes = nodes
        self.nodes, self.function = self._outer, None
        names = [self.name() for _ in outputs]
        self.nodes.append(Node(function.name, [*(x for x in inputs if x), *self.lifted.values()], names, {}, function))
        return names

    # What several rules need ----------------------------------------------------------------------------------------------

    def cast(self, x: str, dtype: str) -> str:
        """The value as that dtype."""
        return self.op("Cast", x, to=ELEMENTS[dtype])

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """The value in another shape; one that has an axis of no elements is written as it is."""
        return self.op("Reshape", x, self.ints(*shape), allowzero=1 if 0 in shape else None)

    def reduce(self, kind: str, x: str, axes: Sequence[int] | None, keepdims: bool) -> str:
        """A reduction; None means all axes."""
        if axes is not None and not axes:
            return self.op("Identity", x)
        if axes is None or not (kind == "ReduceSum" or self.opset >= 18):
            return self.op(kind, x, axes=None if axes is None else list(axes), keepdims=int(keepdims))
        return self.op(kind, x, self.array(list(axes), "int64"), keepdims=int(keepdims))

    def unsqueeze(self, x: str, *axes: int) -> str:
        """The value with axes of size 1 at these places."""
        return self.op("Unsqueeze", x, self.array(list(axes), "int64"))

    def squeeze(self, x: str, *axes: int) -> str:
        """The value without these axes of size 1."""
        return self.op("Squeeze", x, self.array(list(axes), "int64"))

    def slice(self, x: str, starts: Sequence[int], stops: Sequence[int], axes: Sequence[int], steps: Sequence[int] | None = None) -> str:
        """A part of the value."""
        last = "" if steps is None else self.array(list(steps), "int64")
        return self.op("Slice", x, self.ints(*starts), self.ints(*stops), self.array(list(axes), "int64"), last)


__all__ = ["DOMAIN", "Body", "Function", "Node", "Writer"]
