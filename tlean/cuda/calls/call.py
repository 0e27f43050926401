"""Calls of ops and small programs of them, run on a device kernel by kernel.

A `Call` is one op at given shapes, dtypes and options: its launches, and the programs of its vector-Jacobian products, each made when it is
first met. It is what an instance is on the CPU: the same rules traced the same way, so a gradient has the CPU's order of operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean._core.eager.instance import options_key
from tlean.caching import Cache
from tlean.compiler.derive import conversion, decomposition, reverse, specs_at, taken, vjp_graph
from tlean.compiler.graph import Graph
from tlean.compiler.passes.stretch import stretched
from tlean.compiler.signature import in_parts
from tlean.errors import DTypeError, IndexRangeError, TleanError, complete
from tlean.ops import OpDef, Spec

from ..kernels.plan import Mode
from ..runtime.array import DeviceArray, empty, to_device
from ..runtime.context import Context
from .prepared import Prepared
from .table import DTYPE, EXACT, family_of, plan_of, works_in

#: What makes a plan of a graph, for the number of a device and a mode: the compiled path, which is made of calls itself.
LOWERING: list[Callable[[Graph, int, Mode], Any]] = []


class Call:
    """One op at given specs and options.

    Args:
        record: the op.
        specs: of its inputs, None for an absent one.
        options: as the caller wrote them.
        mode: how the kernels compute.
        fused: False runs an op that has a decomposition as that.

    Attributes:
        options: in canonical form.
        outs: specs of the outputs, then of the residuals.

    Raises: ShapeError, OptionError, DTypeError, IndexRangeError as the op's rules say; DeviceError where there is no kernel.
    """

    options: dict[str, Any]

    __slots__ = (
        "_backward",
        "_family",
        "_loops",
        "_parts",
        "_plan",
        "_prepared",
        "_whole",
        "differentiable",
        "fused",
        "mode",
        "options",
        "outs",
        "record",
        "specs",
    )

    def __init__(self, record: OpDef, specs: tuple[Spec | None, ...], options: dict[str, Any], mode: Mode, fused: bool) -> None:
        self.record: OpDef = record
        self.specs: tuple[Spec | None, ...] = specs
        self.mode: Mode = mode
        self.fused: bool = fused
        self.options, outs = record.infer(specs, options, DTYPE)
        for name, spec in zip(record.input_names(len(specs)), specs, strict=True):
            if spec is not None and spec.dtype == "float64" and record.dtypes.get(name) != "float64":
                raise DTypeError(f"{self.shown}: on CUDA {name} is float32, not float64")
        self.outs: list[Spec] = outs
        self.differentiable: bool = record.differentiable and self.outs[0].dtype == DTYPE
        self._backward: dict[tuple[bool, ...], Program] = {}
        self._prepared: dict[Context, Prepared] = {}
        #: Plans of a loop.
        self._loops: dict[Context, Any] = {}
        self._plan = self._family = self._parts = None
        self._whole = True
        parts = conversion(record, specs, self.options, DTYPE)
        if parts is not None:
            self._whole = call_of(record, tuple(self._taken), self.options, mode, fused)._whole
            self._parts = Program(parts, mode, fused)
            return
        if record.cuda is not None:
            self._family, self._plan = record.cuda(specs, outs)
            return
        if record.view or record.loop is not None or (record.host is not None and record.rules.decompose is None):
            return
        if record.stretches(specs, self.outs[0], self.options) and (fused or record.rules.decompose is None):
            self._parts = Program(stretched(_alone(record, specs, self.options)), mode, fused)
        elif in_parts(record, specs, self.options) or (
            record.rules.decompose is not None and (record.rules.kernel_params is None or not fused)
        ):
            self._whole = False
            self._parts = Program(decomposition(record, specs, self.options, DTYPE), mode, fused)
        else:
            self._family = family_of(record, mode, works_in(record, specs, self.options))
            self._plan = plan_of(record, specs, self.options, mode)

    @property
    def shown(self) -> str:
        """The op's name in messages."""
        return self.record.name.partition("@")[0].lstrip("_")

    @property
    def _taken(self) -> list[Spec | None]:
        # The specs of the operands as the op takes them.
        return specs_at(self.specs, self.record.dtypes_at(self.specs, self.options, DTYPE).wanted)

    def run(self, where: Context, inputs: Sequence[DeviceArray | None]) -> list[DeviceArray]:
        """Queue it: outputs, then residuals (an op that runs by its parts has none). An index out of range is raised by the next read."""
        if self.record.view and inputs[0] is not None:
            return [inputs[0].reshape(self.outs[0].shape)]
        if self.record.host is not None and self._plan is None and self._parts is None:
            return self._on_host(where, inputs)
        if self.record.loop is not None:
            if where not in self._loops:
                self._loops[where] = LOWERING[0](_alone(self.record, self.specs, self.options), where.device, self.mode)
            return self._loops[where].run(inputs, [(o.shape, o.dtype) for o in self.outs])  # type: ignore[no-any-return]
        if self._parts is not None:
            return [m for m in self._parts.run(where, inputs) if m is not None]
        made = [empty(o.shape, o.dtype, where) for o in self.outs]
        try:
            prepared = self._prepared.get(where)
            if prepared is None:
                prepared = self._prepared[where] = Prepared(where, self._family, self._plan, self._out_of_range)  # type: ignore[arg-type]
            prepared.run(made, inputs)
        except TleanError as error:
            raise self._complete(error) from error.__cause__
        return made

    def _complete(self, error: TleanError) -> TleanError:
        return complete(error, self.shown, self.record.describe_arguments(self.specs), self.options)

    def _out_of_range(self) -> TleanError:
        return self._complete(IndexRangeError("an index or label is out of range"))

    def _on_host(self, where: Context, inputs: Sequence[DeviceArray | None]) -> list[DeviceArray]:
        # The user's own function on the host's arrays: what it reads is read back, what it makes is copied to the device.
        outs = [np.empty(o.shape, o.dtype) for o in self.outs]
        self.record.host(outs, [None if x is None else x.numpy() for x in inputs], self.options)  # type: ignore[misc]
        return [to_device(o, where) for o in outs]

    def backward(self, needs: tuple[bool, ...]) -> Program:
        """The vector-Jacobian product for the inputs that need one.

        Its inputs: the cotangent, the output, the residuals, the op's inputs. Its outputs: a cotangent for each input, or None.
        """
        found = self._backward.get(needs)
        if found is None:
            if self.record.residuals and not self._whole:
                graph = self._vjp_of_parts(needs)
            else:
                graph = vjp_graph(self.record, self.specs, self.options, DTYPE, needs)
            found = self._backward[needs] = Program(graph, self.mode, self.fused)
        return found

    def _vjp_of_parts(self, needs: tuple[bool, ...]) -> Graph:
        # An op that ran as its decomposition has no residuals for its own rule: the decomposition is differentiated.
        graph = Graph(DTYPE)
        g = graph.arg(self.outs[0])
        graph.arg(self.outs[0])
        ins = [graph.arg(s) for s in self.specs]
        own = taken(ins, self.record.dtypes_at(self.specs, self.options, DTYPE).wanted)
        (y,) = graph._inline(decomposition(self.record, self._taken, self.options, DTYPE), own)
        wrt = [r if n else None for r, n in zip(ins, needs, strict=True)]
        graph.outputs = [None if r is None else r.id for r in reverse(graph, [(y, g)], wrt)]  # type: ignore[list-item]
        return graph.prune()


def _alone(record: OpDef, specs: tuple[Spec | None, ...], options: dict[str, Any]) -> Graph:
    # The program of one op.
    graph = Graph(DTYPE)
    refs = [graph.arg(s) for s in specs]
    graph.outputs = list(graph._record(record, [None if r is None else r.id for r in refs], options))
    return graph


class Program:
    """A graph on a device, one call after another; what is read no more is given back as it runs.

    Args:
        graph: the program.
        mode, fused: as of `Call`.
    """

    def __init__(self, graph: Graph, mode: Mode = EXACT, fused: bool = True) -> None:
        nodes = graph._needed(effects=True)
        self._count = len(graph.specs)
        self._inputs = graph.inputs
        self._outputs = graph.outputs
        self._constants = graph.constants
        self._placed: dict[Context, list[tuple[int, DeviceArray]]] = {}
        last: dict[int, int] = {}
        for k, node in enumerate(nodes):
            last.update(dict.fromkeys((*node.outputs, *(i for i in node.inputs if i is not None)), k))
        kept = {v for v in graph.outputs if v is not None}
        self._steps = []
        for k, node in enumerate(nodes):
            specs = tuple(None if i is None else graph.specs[i] for i in node.inputs)
            dead = tuple(v for v, n in last.items() if n == k and v not in kept)
            self._steps.append((call_of(node.record, specs, node.options, mode, fused), node.inputs, node.outputs, dead))

    def run(self, where: Context, inputs: Sequence[DeviceArray | None]) -> list[DeviceArray | None]:
        """Queue it; the outputs, None where there is none. No two of them are one object, and none is an input."""
        values: list[DeviceArray | None] = [None] * self._count
        for v, x in zip(self._inputs, inputs, strict=True):
            if v is not None:
                values[v] = x
        for v, x in self._constants_on(where):
            values[v] = x
        for call, ins, outs, dead in self._steps:
            for v, made in zip(outs, call.run(where, [None if i is None else values[i] for i in ins]), strict=False):
                values[v] = made
            for v in dead:
                values[v] = None
        given: set[int | None] = {*self._inputs, *self._constants}
        found: list[DeviceArray | None] = []
        for v in self._outputs:
            value = None if v is None else values[v]
            found.append(value if value is None or v not in given else value.shared())
            given.add(v)
        return found

    def _constants_on(self, where: Context) -> list[tuple[int, DeviceArray]]:
        if where not in self._placed:
            self._placed[where] = [(v, to_device(x.numpy(), where)) for v, x in self._constants.items()]
        return self._placed[where]


_CALLS = Cache(65_536)


def call_of(record: OpDef, specs: tuple[Spec | None, ...], options: dict[str, Any], mode: Mode = EXACT, fused: bool = True) -> Call:
    """The interned call. Raises: as `Call`."""
    key: Any = (record.name, specs, options_key(options), mode, fused)
    return _CALLS.make(key, lambda: Call(record, specs, options, mode, fused))
