"""The compiled backend: a program is recorded once as a graph, lowered to a plan, and run by one call from then on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean._core.eager import EagerCore
from tlean._core.refs import RefBase
from tlean._faces.methods import OpsMethods
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.ops import FLOAT, OpDef, Spec
from tlean.ops.registry import dynamic_op
from tlean.rng import op_seed

from .cost import Cost, cost_of
from .cpu import CPU
from .derive import forward, reverse
from .graph import Graph, GraphRef, replay
from .lower import device_of, expand, lower, target_of
from .target import Target


def is_backend(value: Any) -> bool:
    """Whether a value is an `Ops` backend (and not an argument of a program)."""
    return isinstance(value, _BACKENDS)


_BACKENDS = (OpsMethods, EagerCore)


def as_spec(value: Any) -> Spec:
    """A spec from a spec or a shape (then of the program's float dtype)."""
    return value if isinstance(value, Spec) else Spec(tuple(value), FLOAT)


class Stream:
    """The seeds that random ops without a seed of their own draw: number n of the stream that a seed starts."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.position = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> list[AnyTensor]:
        """The next `count` seeds, as the integer inputs of a plan."""
        with self._lock:
            first, self.position = self.position, self.position + count
        return [as_tensor(signed_seed(op_seed(self.seed, first + k)), "int64") for k in range(count)]


def signed_seed(seed: int) -> int:
    """A seed of 64 bits as the signed integer that integer inputs hold."""
    return seed - (1 << 64) if seed >= 1 << 63 else seed


class FixedStream(Stream):
    """A stream whose every reader gets the same seeds, from the first on: the runs that belong to one drawing of random numbers."""

    def take(self, count: int) -> list[AnyTensor]:
        """The first `count` seeds."""
        return [as_tensor(signed_seed(op_seed(self.seed, k)), "int64") for k in range(count)]


class Executable:
    """A graph with its plan: arrays in, arrays out. Calls from several threads at once are right: a plan keeps nothing between runs.

    Args:
        graph: with `outputs` set; the seeds of its random ops are its last inputs.
        seeds: how many of them.
        target: the device that it runs on; results are arrays of that device.
    """

    def __init__(self, graph: Graph, seeds: int = 0, target: Target = CPU) -> None:
        self.graph = graph.prune()
        self.seeds = seeds
        self.plan: Any = lower(graph, target)
        self._run = target.run
        self.out_specs = [((), graph.dtype) if v is None else (graph.specs[v].shape, graph.specs[v].dtype) for v in graph.outputs]

    def __call__(self, tensors: Sequence[AnyTensor | None], stream: Stream) -> list[AnyTensor | None]:
        return self._run(self.plan, [*tensors, *stream.take(self.seeds)] if self.seeds else tensors, self.out_specs)

    def run(self, tensors: Sequence[AnyTensor | None]) -> list[AnyTensor | None]:
        """The outputs for all inputs, seeds among them."""
        return self._run(self.plan, tensors, self.out_specs)


class GraphM(Graph):
    """A graph under construction: `g.arg(i, spec)`, every op, then `g.build(out)`."""

    def __init__(self, dtype: str = "float32") -> None:
        if dtype not in ("float32", "float64"):
            raise DTypeError(f"GraphM: dtype is float32 or float64, got {dtype!r}")
        super().__init__(dtype, merge=False)
        self._arguments: dict[int, GraphRef] = {}
        self._seeds: list[GraphRef] = []
        self.next_seed = self._next_seed

    def _next_seed(self) -> GraphRef:
        ref = self.value(Spec((), "int64"))
        self._seeds.append(ref)
        return ref

    def arg(self, i: Any, spec: Any = None, name: str | None = None) -> Any:  # type: ignore[override]
        """Argument number i of the program, of that shape or spec. Raises: OptionError out of order or declared twice otherwise."""
        if i in self._arguments:
            if spec is not None and as_spec(spec).resolved(self.dtype) != self._arguments[i].spec:
                raise OptionError(f"GraphM.arg: argument {i} is {self._arguments[i].spec}, got {spec}")
            return self._arguments[i]
        if i != len(self._arguments) or spec is None:
            raise OptionError(f"GraphM.arg: argument {len(self._arguments)} comes next, with its shape, got {i}")
        ref = super().arg(as_spec(spec), name)
        self._arguments[i] = ref  # type: ignore[assignment]
        return ref

    def finish(self) -> int:
        """Append the seeds that random ops asked for as the last inputs; returns how many there are."""
        self.inputs += [r.id for r in self._seeds]
        return len(self._seeds)

    def build(self, out: Any, device: str = "cpu") -> CompiledOut:
        """The compiled program with this reference, or tree of references, as its result, on a device as `compile_out` has it."""
        return CompiledOut(self, out, device)


class CompiledOut:
    """A compiled program with any array, or tree of arrays, as its result. Concurrent calls are right."""

    def __init__(self, graph: GraphM, out: Any, device: str = "cpu") -> None:
        self._target = target_of(device)
        leaves, self._structure = tree.flatten(out)
        graph.outputs = [graph.ref(r).id for r in leaves]  # type: ignore[union-attr]
        self._arguments = len(graph._arguments)
        self._seeds = graph.finish()
        graph.prune()
        #: The program, one line a node when printed.
        self.graph: Graph = graph
        if self._target is not CPU:
            # What the device cannot do is said now.
            expand(graph, self._target)
        self.stream = Stream()
        self._made: dict[Any, Executable] = {}
        self._lock = threading.Lock()

    # What the caller may look at -----------------------------------------------------------------------------------------

    @property
    def plan(self) -> Any:
        """The instructions of the forward run, with fused groups and scratch bytes."""
        return self._executable("forward", self._forward_graph).plan

    def cost(self) -> Cost:
        """FLOPs and bytes of the forward run, whole and per node."""
        return cost_of(self.graph)

    # Calls ---------------------------------------------------------------------------------------------------------------

    def forward(self, *xs: Any) -> Any:
        """The result for these arguments."""
        made = self._executable("forward", self._forward_graph)(self._tensors(xs), self.stream)
        return tree.unflatten(self._structure, made)

    __call__ = forward

    def jvp(self, xs: Sequence[Any], dxs: Sequence[Any]) -> tuple[Any, Any]:
        """(result, its derivative in the direction `dxs`); None in `dxs` holds that argument fixed."""
        present = tuple(d is not None for d in dxs)
        if len(present) != self._arguments:
            raise ShapeError(f"jvp: one direction for each of the {self._arguments} arguments, got {len(present)}")
        for k, (p, value) in enumerate(zip(present, self.graph.inputs, strict=False)):
            if p and not self.graph.specs[value].dtype.startswith("float"):  # type: ignore[index]
                raise DTypeError(f"jvp: argument {k} holds no floating-point numbers, so it has no direction; pass None")
        run_ = self._executable(("jvp", present), lambda: self._jvp_graph(present))
        made = run_([*self._tensors(xs), *self._tensors(dxs, "direction")], self.stream)
        half = len(made) // 2
        return tree.unflatten(self._structure, made[:half]), tree.unflatten(self._structure, made[half:])

    def vjp_with_seed(self, xs: Sequence[Any], seed: Any) -> tuple[AnyTensor | None, ...]:
        """A cotangent for each argument (None for integers), given one for the result."""
        return self._pull(xs, seed)[1]

    def _pull(self, xs: Sequence[Any], seed: Any) -> tuple[list[Any], tuple[Any, ...]]:
        seeds, structure = tree.flatten(seed)
        if structure != self._structure:
            raise ShapeError("vjp_with_seed: the seed has the structure of the result")
        specs = [self.graph.specs[v] for v in self.graph.outputs]  # type: ignore[index]
        gs = []
        for s, spec in zip(seeds, specs, strict=True):
            g = self._target.array(s, spec.dtype)
            if g.shape != spec.shape:
                raise ShapeError(f"vjp_with_seed: the seed has the result's shape {spec.shape}, got {g.shape}")
            gs.append(g)
        made = self._executable("vjp", self._vjp_graph)([*self._tensors(xs), *gs], self.stream)
        n = len(specs)
        return made[:n], tuple(made[n:])

    # Making plans ----------------------------------------------------------------------------------------------------------

    def _executable(self, key: Any, build: Callable[[], Graph]) -> Executable:
        found = self._made.get(key)
        if found is None:
            with self._lock:
                found = self._made.get(key)
                if found is None:
                    found = self._made[key] = Executable(build(), self._seeds, self._target)
        return found

    def _tensors(self, xs: Sequence[Any], what: str = "argument") -> list[AnyTensor | None]:
        if len(xs) != self._arguments:
            raise ShapeError(f"the program takes {self._arguments} arguments, got {len(xs)}")
        tensors: list[AnyTensor | None] = []
        for k, (x, value) in enumerate(zip(xs, self.graph.inputs, strict=False)):
            if x is None and what == "direction":
                tensors.append(None)
                continue
            spec = self.graph.specs[value]  # type: ignore[index]
            t = self._target.array(x, spec.dtype)
            if t.shape != spec.shape:
                raise ShapeError(f"{what} {k} of the program has shape {spec.shape}, got {t.shape}")
            tensors.append(t)
        return tensors

    def _start(self) -> tuple[Graph, list[GraphRef]]:
        graph = Graph(self.graph.dtype, merge=False)
        args = [graph.arg(self.graph.specs[v]) for v in self.graph.inputs[: self._arguments]]  # type: ignore[index]
        return graph, args  # type: ignore[return-value]

    def _inline(self, graph: Graph, args: Sequence[GraphRef]) -> list[GraphRef]:
        seeds = [graph.value(Spec((), "int64")) for _ in range(self._seeds)]
        ys = graph.inline(self.graph, [*args, *seeds], merge=False)
        graph.inputs += [s.id for s in seeds]
        return ys  # type: ignore[return-value]

    def _forward_graph(self) -> Graph:
        graph, args = self._start()
        graph.outputs = [y.id for y in self._inline(graph, args)]
        return graph

    def _jvp_graph(self, present: tuple[bool, ...]) -> Graph:
        graph, args = self._start()
        moved = [graph.arg(a.spec if p else None) for a, p in zip(args, present, strict=True)]
        ys = self._inline(graph, args)
        ts = forward(graph, [(a, t) for a, t in zip(args, moved, strict=True) if t is not None], ys)
        graph.outputs = [*(y.id for y in ys), *((_zeros(graph, y) if t is None else t).id for y, t in zip(ys, ts, strict=True))]
        return graph

    def _vjp_graph(self) -> Graph:
        graph, args = self._start()
        gs = [graph.arg(self.graph.specs[v]) for v in self.graph.outputs]  # type: ignore[index]
        ys = self._inline(graph, args)
        graph.outputs = [*(y.id for y in ys), *self._cotangents(graph, args, ys, gs)]
        return graph

    @staticmethod
    def _cotangents(graph: Graph, args: Sequence[GraphRef], ys: Sequence[GraphRef], gs: Sequence[Any]) -> list[int | None]:
        floats = [a if a.dtype.startswith("float") else None for a in args]
        found = reverse(graph, list(zip(ys, gs, strict=True)), floats)
        return [None if a is None else (_zeros(graph, a) if c is None else c).id for a, c in zip(floats, found, strict=True)]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.graph)} nodes, {self._arguments} arguments, {self.graph.dtype}>"


class CompiledScalar(CompiledOut):
    """A compiled program with a scalar result."""

    def __init__(self, graph: GraphM, out: Any, device: str = "cpu") -> None:
        if not isinstance(out, GraphRef) or out.shape != ():
            raise ShapeError(f"compile_scalar: the program returns a scalar, got {getattr(out, 'shape', type(out).__name__)}")
        super().__init__(graph, out, device)

    def value_and_grad(self, *xs: Any) -> tuple[AnyTensor, tuple[AnyTensor | None, ...]]:
        """(value, gradients in argument order; None for integers)."""
        made = self._executable("grad", self._grad_graph)(self._tensors(xs), self.stream)
        return made[0], tuple(made[1:])  # type: ignore[return-value]

    def backward(self, *xs: Any) -> tuple[AnyTensor | None, ...]:
        """The gradients in argument order, None for integers."""
        return self.value_and_grad(*xs)[1]

    def backward_with_seed(self, xs: Sequence[Any], g: Any) -> tuple[AnyTensor | None, ...]:
        """The gradients times the cotangent g of the value."""
        return self.vjp_with_seed(xs, g)

    def _grad_graph(self) -> Graph:
        graph, args = self._start()
        ys = self._inline(graph, args)
        graph.outputs = [ys[0].id, *self._cotangents(graph, args, ys, [graph._full(shape=(), value=1.0)])]
        return graph


def _zeros(graph: Graph, like: GraphRef) -> Any:
    return graph._full(shape=like.shape, value=0.0)


def _traced(f: Callable[..., Any], shapes: Sequence[Any], dtype: str, device: str) -> tuple[GraphM, Any]:
    if device != "cpu" and dtype == "float64":
        raise DTypeError("compile: CUDA computes in float32, got dtype='float64'")
    graph = GraphM(dtype)
    refs = [graph.arg(i, s) for i, s in enumerate(shapes)]
    return graph, f(graph, *refs)


def compile_scalar(f: Callable[..., Any], shapes: Sequence[Any], dtype: str = "float32", device: str = "cpu") -> CompiledScalar:
    """Compile a program `f(ops, *refs) -> scalar`.

    Args:
        shapes: for each argument a shape, or a `Spec(shape, dtype)`.
        dtype: the program's float dtype.
        device: "cpu", "cuda" or "cuda:<number>". On a GPU results are device arrays; arguments may be, and host arrays are copied there.

    Raises: ShapeError if the result is not a scalar; DeviceError without such a device, or for an op that cannot run there; DTypeError for
        float64 on a GPU; what the ops raise.
    """
    return CompiledScalar(*_traced(f, shapes, dtype, device), device)


def compile_out(f: Callable[..., Any], shapes: Sequence[Any], dtype: str = "float32", device: str = "cpu") -> CompiledOut:
    """Compile a program `f(ops, *refs)` whose result is a reference or a tree of references; see `compile_scalar`."""
    return CompiledOut(*_traced(f, shapes, dtype, device), device)


def specs_of(leaves: Sequence[Any], target: Target = CPU) -> tuple[list[Any], list[Spec], str]:
    """Arrays, specs and float dtype of the arguments of a functional call.

    The float dtype is float64 if any array is float64, else float32; Python numbers are weak; integer and Boolean arrays keep their kind.
    On a GPU it is float32.
    """
    raw = [x if isinstance(x, AnyTensor) else target.array(x) for x in leaves]
    strong = [hasattr(x, "dtype") for x in leaves]
    wide = target is CPU and any(t.dtype == "float64" and s for t, s in zip(raw, strong, strict=True))
    dtype = "float64" if wide else "float32"
    tensors = []
    for t, s in zip(raw, strong, strict=True):
        if s and t.dtype in ("int64", "bool"):
            tensors.append(t)
        else:
            tensors.append(target.array(t, "int64" if s and t.dtype == "int32" else dtype))
    return tensors, [Spec(t.shape, t.dtype) for t in tensors], dtype


_ARRAYS = frozenset((AnyTensor, np.ndarray))


class Compiled:
    """A program compiled per structure, shapes and dtypes of its arguments, and kept.

    Args:
        record: `record(graph, *args)` records the program and returns a tree of references.
        device: where it runs; None for the device of the first device array among the arguments, the CPU where there is none.
    """

    def __init__(self, record: Callable[..., Any], seed: int = 0, device: str | None = None) -> None:
        self._record = record
        self._target = None if device is None else target_of(device)
        self._known: dict[Any, tuple[Executable, Any]] = {}
        #: The same for calls with nothing but arrays, by what is quick to ask of them; with the dtypes that the plan takes.
        self._arrays: dict[Any, tuple[Executable, Any, list[str]]] = {}
        self._latest: Executable | None = None
        self.stream = Stream(seed)

    def known_arrays(self, args: tuple[Any, ...]) -> Any:
        """What `call_known` needs if these arguments are arrays like those of an earlier call, else None."""
        return self._arrays.get(tuple([(a.shape, a.dtype) if type(a) in _ARRAYS else None for a in args]))

    def call_known(self, known: tuple[Executable, Any, list[str]], args: tuple[Any, ...]) -> Any:
        """The result for such arguments."""
        self._latest, structure, dtypes = known
        return tree.unflatten(structure, self._latest([as_tensor(a, d) for a, d in zip(args, dtypes, strict=True)], self.stream))

    def __call__(self, *args: Any, keep: bool = True) -> Any:
        quick = self.known_arrays(args)
        if quick is not None:
            return self.call_known(quick, args)
        leaves, structure = tree.flatten(args)
        target = self._target or target_of(device_of(leaves))
        tensors, specs, dtype = specs_of(leaves, target)
        key = (structure, tuple(specs), dtype, target)
        known = self._known.get(key)
        if known is None:
            known = self._build(structure, specs, dtype, target)
            if keep:
                self._known[key] = known
        if keep and all(type(a) in _ARRAYS for a in args):
            self._arrays[tuple((a.shape, a.dtype) for a in args)] = (*known, [s.dtype for s in specs])
        self._latest = known[0]
        return tree.unflatten(known[1], known[0](tensors, self.stream))

    def _build(self, structure: Any, specs: Sequence[Spec], dtype: str, target: Target) -> tuple[Executable, Any]:
        graph = GraphM(dtype)
        refs = [graph.arg(i, s) for i, s in enumerate(specs)]
        out, out_structure = tree.flatten(self._record(graph, *tree.unflatten(structure, refs)))
        graph.outputs = [graph.ref(r).id for r in out]  # type: ignore[union-attr]
        return Executable(graph, graph.finish(), target), out_structure

    def _called(self) -> Executable:
        if self._latest is None:
            raise OptionError("the program was not called yet, so no shapes are known")
        return self._latest

    @property
    def graph(self) -> Graph:
        """The program of the latest call, one line a node when printed."""
        return self._called().graph

    @property
    def plan(self) -> Any:
        """The instructions of the latest call."""
        return self._called().plan

    def cost(self) -> Cost:
        """FLOPs and bytes of the latest call, whole and per node."""
        return cost_of(self.graph)


def jit(f: Callable[..., Any], device: str | None = None) -> Compiled:
    """The program `f(ops, *xs)` as a function of arrays, compiled once for each structure, shapes and dtypes of its arguments.

    Args:
        device: where it runs, "cpu", "cuda" or "cuda:<number>"; None for where the first device array among the arguments is, the CPU
            where there is none. On a GPU results are device arrays.

    Raises: OptionError for another device; DeviceError without such a device; when called, DeviceError for an op that cannot run there.
    """
    return Compiled(f, device=device)


def trace_into(ops: Any, record: Callable[..., Any], args: Sequence[Any]) -> Any:
    """Record a graph-level program into the program of any backend; returns its results as that backend's references."""
    if isinstance(ops, Graph):
        return record(ops, *tree.map(ops.ref, tuple(args)))
    leaves, structure = tree.flatten(tuple(args))
    refs = [x if isinstance(x, RefBase) else ops.const(x) for x in leaves]
    graph = _Capturing(ops)
    mine = [graph.arg(Spec(tuple(r.shape), r.dtype)) for r in refs]
    out, out_structure = tree.flatten(record(graph, *tree.unflatten(structure, mine)))
    made = []
    for r in out:
        graph.outputs = [graph.ref(r).id]  # type: ignore[union-attr]
        called, used = _called(graph)
        given = [*refs, *graph.captured]
        made.append(ops.apply(called, tuple(given[k] for k in used), {}))
    graph.forget()
    return tree.unflatten(out_structure, made)


class _Capturing(Graph):
    # A graph inside another backend's program: references of that program, constants and seeds become further inputs.
    def __init__(self, outer: Any) -> None:
        super().__init__(outer.dtype, merge=False)
        self._outer = outer
        self.captured: list[Any] = []
        self._seen: dict[int, GraphRef] = {}
        if hasattr(outer, "next_seed"):
            self.next_seed = lambda: self._capture(as_tensor(signed_seed(outer.next_seed()), "int64"))

    def ref(self, value: Any, integer: bool = False) -> GraphRef | None:
        if isinstance(value, RefBase) and not isinstance(value, GraphRef) and value.ops is self._outer:
            if id(value) not in self._seen:
                self._seen[id(value)] = self._capture(value)
            return self._seen[id(value)]
        return super().ref(value, integer)

    def const(self, value: Any, name: str | None = None) -> GraphRef:
        ref = super().const(value, name)
        return self._capture(self.constants.pop(ref.id))

    leaf = const

    def forget(self) -> None:
        """Let go of what was captured: a graph and its references hold each other, so its own memory may stay for a while."""
        self.captured, self._seen, self.next_seed = [], {}, None

    def _capture(self, value: Any) -> GraphRef:
        self.captured.append(value)
        return self.arg(Spec(tuple(value.shape), value.dtype))  # type: ignore[return-value]


_PROGRAMS: dict[Any, OpDef] = {}
_PROGRAMS_LIMIT = 1024


def _called(graph: Graph) -> tuple[OpDef, list[int]]:
    # The graph as one op, and which of its inputs that op takes. A graph that was met before is the same op, so that its plans are kept.
    nodes = graph.needed()
    read = {i for n in nodes for i in n.inputs} | set(graph.outputs)
    used = [k for k, v in enumerate(graph.inputs) if v in read]
    number: dict[int | None, int] = {None: -1}
    for k in used:
        number[graph.inputs[k]] = len(number) - 1
    calls = []
    for n in nodes:
        number |= {v: len(number) - 1 + j for j, v in enumerate(n.outputs)}
        options = tuple((k, repr(v)) for k, v in n.options.items())
        calls.append((n.record, tuple(number[i] for i in n.inputs), len(n.outputs), options))
    specs = tuple(graph.specs[graph.inputs[k]] for k in used)  # type: ignore[index]
    key = (graph.dtype, specs, tuple(calls), number[graph.outputs[0]])
    known = _PROGRAMS.get(key)
    if known is None:
        if len(_PROGRAMS) >= _PROGRAMS_LIMIT:
            _PROGRAMS.clear()
        copy = Graph(graph.dtype)
        copy.specs, copy.nodes, copy.outputs = list(graph.specs), nodes, list(graph.outputs)
        copy.inputs = [graph.inputs[k] for k in used]

        def decompose(ops: Any, *xs: Any) -> Any:
            return (ops.inline(copy, xs) if isinstance(ops, Graph) else replay(copy, ops, xs))[0]

        known = _PROGRAMS[key] = dynamic_op("call", copy, decompose)
    return known, used
