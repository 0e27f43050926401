"""The device's tape: nodes that only grow, and the reverse sweep over them, as `tlean._core.tape` has them on the CPU.

The order of accumulation is the CPU's: nodes descending, then the node's parents in position; every contribution is computed whole and then
added once. What a sweep makes on the way is given back as it passes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..arguments import label
from ..errors import NodeError, ShapeError
from .calls.call import Call
from .runtime.array import DeviceArray, accumulate, device_array
from .runtime.context import Context


class TapeNode(NamedTuple):
    """One node. A leaf has no call and no custom backward.

    Attributes:
        value: what the op made.
        parents: the node of each input, −1 for a captured constant or an absent input.
        inputs: the arrays of the inputs.
        residuals: what the op keeps for its own rule.
        custom: `backward(g) -> [(parent id, contribution), …]`, of a node that a user put here.
    """

    value: DeviceArray
    requires_grad: bool
    name: str | None
    call: Call | None = None
    parents: tuple[int, ...] = ()
    inputs: tuple[DeviceArray | None, ...] = ()
    residuals: tuple[DeviceArray, ...] = ()
    custom: Callable[..., Any] | None = None


class DeviceTape:
    """Nodes in order on one device.

    Args:
        where: the device.
        nodes: what to begin with. A fork copies the list of nodes, whose arrays it shares.
    """

    def __init__(self, where: Context, nodes: Sequence[TapeNode] = ()) -> None:
        self.context = where
        self._nodes = list(nodes)
        self._writer: Any = None

    def __len__(self) -> int:
        return len(self._nodes)

    def continued(self, size: int, owner: Any) -> DeviceTape:
        """The first `size` nodes, for `owner` alone to append to: this one if it ends there and nothing else appends to it, or a fork."""
        tape = self
        if len(self) != size or (self._writer is not None and self._writer() is not None):
            tape = DeviceTape(self.context, self._nodes[:size])
        tape._writer = weakref.ref(owner)
        return tape

    def done(self) -> None:
        """The tape that appended here has finished."""
        self._writer = None

    # Appending ------------------------------------------------------------------------------------------------------------

    def append(self, node: TapeNode) -> int:
        """Append a node; returns its id."""
        label("node", node.name)
        self._nodes.append(node)
        return len(self._nodes) - 1

    def leaf(self, value: Any, requires_grad: bool = True, name: str | None = None) -> int:
        """Append a leaf; returns its id."""
        value = device_array(value, None, self.context)
        return self.append(TapeNode(value, requires_grad and value.dtype.startswith("float"), name))

    def custom(self, value: Any, parents: Sequence[int], backward: Callable[..., Any], requires_grad: bool, name: str | None = None) -> int:
        """Append a node with a Python backward: `backward(g) -> [(parent id, contribution), …]`; returns its id."""
        for p in parents:
            if not 0 <= p < len(self):
                raise NodeError(f"node: parent {p} is not on this tape of {len(self)} nodes")
        value = device_array(value, None, self.context)
        flows = requires_grad and value.dtype.startswith("float")
        return self.append(TapeNode(value, flows, name, parents=tuple(parents), custom=backward))

    def truncate(self, size: int) -> None:
        """Forget the nodes from `size` on."""
        del self._nodes[size:]

    # Reading --------------------------------------------------------------------------------------------------------------

    def at(self, i: int) -> TapeNode:
        """Node i. Raises: NodeError."""
        if not 0 <= i < len(self):
            raise NodeError(f"there is no node {i} on this tape of {len(self)} nodes")
        return self._nodes[i]

    def value(self, i: int) -> DeviceArray:
        """The value of node i."""
        return self.at(i).value.shared()

    def describe(self, i: int) -> tuple[Any, ...]:
        """What node i is: (op or None, name, parents (-1: a captured constant), shape, dtype, requires_grad, options)."""
        n = self.at(i)
        op = n.call.record.name.partition("@")[0] if n.call is not None else "custom" if n.custom is not None else None
        options = n.call.options if n.call is not None else {}
        return op, n.name, n.parents, n.value.shape, n.value.dtype, n.requires_grad, options

    def custom_backward(self, i: int) -> Callable[..., Any] | None:
        """The Python backward of node i, or None."""
        return self.at(i).custom

    # Gradients ------------------------------------------------------------------------------------------------------------

    def backward(self, out: int, seed: Any, size: int = -1, free_interior: bool = False) -> list[DeviceArray | None]:
        """Gradients of `out` with the cotangent `seed`, as a list of `size` (default: all nodes) arrays or None.

        With `free_interior`, only leaves' gradients are kept; the others' memory is given back as the sweep passes.
        """
        slots: list[DeviceArray | None] = [None] * len(self)
        slots[out] = self._like(seed, out)
        self._sweep(slots, out + 1, 0, free_interior, out)
        return slots if size < 0 else slots[:size]

    def backward_from(self, grads: Sequence[Any], n: int, first: int = 0) -> list[DeviceArray | None]:
        """Reverse over nodes n−1 … first, every rule run, starting from a gradient for each node; returns the new list."""
        if len(grads) != len(self):
            raise ShapeError(f"backward: one gradient for each of the {len(self)} nodes, got {len(grads)}")
        if not 0 <= n <= len(self):
            raise NodeError(f"backward: n must be between 0 and {len(self)}, got {n}")
        slots = [None if g is None else self._like(g, i) for i, g in enumerate(grads)]
        self._sweep(slots, n, first, False, -1)
        return slots

    def _like(self, g: Any, i: int) -> DeviceArray:
        value = self.at(i).value
        g = device_array(g, value.dtype, self.context)
        if g.shape != value.shape:
            raise ShapeError(f"backward: a cotangent of node {i} must have shape {value.shape}, got {g.shape} {g.dtype}")
        return g.shared()

    def _sweep(self, slots: list[DeviceArray | None], high: int, low: int, free_interior: bool, seeded: int) -> None:
        # Visits the nodes high-1 ... low that have a cotangent and need one; `seeded` is visited whatever its flag.
        for i in range(high - 1, low - 1, -1):
            g, node = slots[i], self._nodes[i]
            if g is None or not node.parents or not (node.requires_grad or i == seeded):
                continue
            if node.call is not None:
                self._step(node, g, slots)
            elif node.custom is not None:
                self._step_custom(i, node, g, slots)
            if free_interior:
                slots[i] = None

    def _step(self, node: TapeNode, g: DeviceArray, slots: list[DeviceArray | None]) -> None:
        call = node.call
        needs = tuple([p >= 0 and self._nodes[p].requires_grad for p in node.parents])
        if call is None or not any(needs) or not call.differentiable:
            return
        found = call.backward(needs).run(self.context, [g, node.value, *node.residuals, *node.inputs])
        for p, contribution in zip(node.parents, found, strict=True):
            if contribution is not None:
                _contribute(slots, p, contribution)

    def _step_custom(self, i: int, node: TapeNode, g: DeviceArray, slots: list[DeviceArray | None]) -> None:
        contributions = []
        for p, value in node.custom(g.shared()):  # type: ignore[misc]
            if p not in node.parents:
                raise NodeError(f"backward of node {i}: {p} is none of its parents {sorted(set(node.parents))}")
            parent = self._nodes[p].value
            found = device_array(value, parent.dtype, self.context)
            if found.shape != parent.shape:
                raise ShapeError(f"backward of node {i}: the contribution to node {p} must have shape {parent.shape}, got {found.shape}")
            contributions.append((p, found))
        for p, found in contributions:
            if self._nodes[p].requires_grad:
                _contribute(slots, p, found.shared())


def _contribute(slots: list[DeviceArray | None], p: int, contribution: DeviceArray) -> None:
    # The first one is taken as it is; a slot that shares its memory with another array is added to in separate memory.
    before = slots[p]
    if before is None:
        slots[p] = contribution
    elif before.alone and before.dtype == "float32":
        accumulate(before, contribution)
    else:
        slots[p] = before.add(contribution)
