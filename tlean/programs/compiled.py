"""The compiled backend: a program is recorded once as a graph, lowered to a plan, and run by one call from then on."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tlean import tree
from tlean._core.array import AnyTensor
from tlean._core.eager.eager import ParamBase
from tlean._core.plan.callback import user_line
from tlean.arguments import flag, float_dtype
from tlean.compiler.cost import Cost, cost_of
from tlean.compiler.cpu import CPU
from tlean.compiler.derive import forward, pulled_back, with_zeros
from tlean.compiler.graph import Graph, GraphRef, Origin
from tlean.compiler.passes.expand import expand
from tlean.devices import target_of
from tlean.display import folded
from tlean.errors import DTypeError, NodeError, OptionError, ShapeError
from tlean.ops import Spec

from ..arguments.literals import FloatName
from .captured import Captured, check_capture, is_array
from .executable import Executable, Stream
from .recorder import Recorder
from .specs import as_spec
from .trace import Trace


class GraphM(Graph):
    """A graph under construction: `g.arg(i, spec)`, every op, then `g.build(out)`.

    Args:
        captured: what the program that is traced reaches: its arrays become further inputs. Without it arrays are constants.

    Raises: DTypeError for another dtype, OptionError for a `captured` of another type.
    """

    inputs: Any

    def __init__(self, dtype: FloatName = "float32", captured: Captured | None = None) -> None:
        if captured is not None and not isinstance(captured, Captured):
            raise OptionError(f"GraphM: captured must be None in a program that is recorded by hand, got {type(captured).__name__}")
        super().__init__(float_dtype("GraphM", dtype), merge=False)
        self.captured = captured
        self._arguments: dict[int, GraphRef] = {}
        self._seeds: list[GraphRef] = []
        self.next_seed: Callable[[], GraphRef] = self._next_seed

    def _next_seed(self) -> GraphRef:
        ref = self._value(Spec((), "int64"))
        self._seeds.append(ref)
        return ref

    def arg(self, i: Any, spec: Any = None, name: str | None = None) -> Any:  # type: ignore[override]
        """Argument number i of the program, of that shape or spec.

        Args:
            i: the number of the argument, from 0.
            spec: a shape or a `Spec`; None for an argument that was declared before.
            name: shown in printed programs.

        Raises: OptionError out of order or declared twice otherwise.
        """
        if isinstance(i, int) and i in self._arguments:
            if spec is not None and as_spec(spec).resolved(self.dtype) != self._arguments[i].spec:
                raise OptionError(f"GraphM.arg: argument {i} must be {self._arguments[i].spec}, got {spec}")
            return self._arguments[i]
        if not isinstance(i, int) or i != len(self._arguments) or spec is None:
            raise OptionError(f"GraphM.arg: argument {len(self._arguments)} comes next, with its shape, got {i}")
        spec = as_spec(spec).resolved(self.dtype)
        return self._slot(spec, name)

    def _slot(self, spec: Spec, name: str | None = None) -> GraphRef:
        """The next argument, of whatever dtype: what an optimiser keeps of a parameter, and the numbers of its step."""
        ref: Any = super().arg(spec, name)
        self._arguments[len(self._arguments)] = ref
        return ref

    def ref(self, value: Any, dtype: str | None = None) -> GraphRef | None:
        """The value as a reference of this graph; an array that the program captures is read again by each run.

        Args:
            value: a reference or anything array-like.
            dtype: of a constant; None keeps the value's.
        """
        return self._held(super().ref(value, dtype), value)

    def const(self, value: Any, name: str | None = None) -> GraphRef:
        """A constant, unless it is an array that the program captures.

        Args:
            value: anything array-like.
            name: shown in printed programs.
        """
        return self._held(super().const(value, name), value)  # type: ignore[return-value]

    leaf = const

    def _own_constant(self, value: Any) -> GraphRef:
        return self._held(super()._own_constant(value), value)  # type: ignore[return-value]

    def _held(self, made: GraphRef | None, value: Any) -> GraphRef | None:
        if self.captured is None or made is None or not is_array(value):
            return made
        if isinstance(value, ParamBase) and value._tensor.dtype != self.dtype:
            raise DTypeError(f"the program computes in {self.dtype}, got {value!r}; cast the parameter, or the arguments")
        known = self.captured.same(value, made.spec, self.specs)
        if known == made.id:
            return made
        if known is not None:
            del self.constants[made.id]
            return GraphRef(self, known)
        self.captured.bind(made.id, value)
        return made

    def finish(self, out: Any) -> tree.Structure:
        """Make a tree of references the result, and what is no argument the last inputs: captured arrays, then the seeds of random ops.

        Args:
            out: the result.

        Returns: the structure of the result.
        """
        leaves, structure = tree.flatten(out)
        self.outputs: list[int | None] = [self.ref(r).id for r in leaves]  # type: ignore[union-attr]
        if self.captured is not None:
            for number in self.captured.inputs(self):
                del self.constants[number]
                self.inputs.append(number)
        self.inputs += [r.id for r in self._seeds]
        return structure

    def build(self, out: Any, device: str = "cpu") -> CompiledOut:
        """The compiled program with this reference, or tree of references, as its result, on a device as `compile_out` has it.

        Args:
            out: the result.
            device: "cpu", "cuda" or "cuda:<number>".
        """
        return CompiledOut(self, out, device)


class Traced(GraphM):
    """A graph that a function is traced into; a `Param` means its value at each run."""

    #: Whether float64 arrays that the function captures stay so in a program of float32, as its arguments do.
    keeps_wide = False

    def __init__(self, dtype: str = "float32", captured: Captured | None = None) -> None:
        super().__init__(dtype, captured)  # type: ignore[arg-type]
        # What nodes without a name are recorded with, by line.
        self._lines: dict[tuple[str, int], Origin] = {}

    def ref(self, value: Any, dtype: str | None = None) -> GraphRef | None:
        return self._own_constant(value) if dtype in (None, "float32") and self._wide(value) else super().ref(value, dtype)

    def const(self, value: Any, name: str | None = None) -> GraphRef:
        return self._own_constant(value) if self._wide(value) else super().const(value, name)

    leaf = const

    def _wide(self, value: Any) -> bool:
        return self.keeps_wide and isinstance(value, np.ndarray | AnyTensor) and value.dtype == "float64"

    def _origin(self, name: str | None) -> str | None:
        if name is not None:
            return Origin.here(name)
        line = user_line()
        if line is None:
            return None
        made = self._lines.get(line)
        if made is None:
            made = self._lines[line] = Origin()
            made.line = line
        return made

    def use(self, p: Any) -> GraphRef:
        """A parameter's value as an input that each run reads. Raises: NodeError if it is no parameter, DTypeError for another dtype."""
        if not isinstance(p, ParamBase):
            raise NodeError(f"use: a Param is expected, got {type(p).__name__}")
        return self.const(p)


class CompiledOut:
    """A compiled program with any array, or tree of arrays, as its result. Concurrent calls are right.

    Args:
        graph: the program, with all its arguments declared.
        out: its result, a reference or a tree of references.
        device, seed: as for `compile_out`.

    Raises: OptionError for something that is no `GraphM`, NodeError for a result of another graph.
    """

    #: The call that made it, (function, arguments): what a copy or a pickle calls again.
    _made_by: Any = None
    #: How it was recorded, where it was made of a function.
    _recorder: Recorder | None = None
    #: Traces the function once more, where kept programs are checked (`TLEAN_CHECK_CAPTURE`).
    _again: Any = None

    def __init__(self, graph: GraphM, out: Any, device: str = "cpu", seed: int | None = None) -> None:
        if not isinstance(graph, GraphM):
            raise OptionError(
                f"{type(self).__name__}: a program must be recorded in a GraphM, whose build() makes this; got {type(graph).__name__}."
                " Of a function, compile_out makes it"
            )
        self._target = target_of(device)
        self._arguments = len(graph._arguments)
        self._trace = Trace(graph, out, self._target)
        if graph.captured is not None:
            graph.captured.settle()
        #: The program, one line a node when printed.
        self.graph: Graph = graph
        if self._target is not CPU:
            # What the device cannot do is said now.
            expand(graph, self._target)
        self.stream: Stream = Stream(seed)

    def __reduce__(self) -> Any:
        if self._made_by is None:
            raise OptionError(
                f"{type(self).__name__}: a program that is copied or pickled is made of a function (compile_scalar, compile_out);"
                " this one was recorded by hand"
            )
        return self._made_by

    # What the caller may look at -----------------------------------------------------------------------------------------

    @property
    def plan(self) -> Any:
        """The instructions of the forward run, with fused groups and scratch bytes."""
        return self._executable("forward").plan

    @property
    def captured(self) -> Mapping[str, Any]:
        """What the program took of its surroundings for good, by name. Arrays that ops were given are read again by each call."""
        return types.MappingProxyType({} if self._trace.captured is None else self._trace.captured.frozen)

    def cost(self) -> Cost:
        """FLOPs and bytes of the forward run, whole and per node."""
        return cost_of(self.graph)

    # Calls ---------------------------------------------------------------------------------------------------------------

    def forward(self, *xs: Any) -> Any:
        """The result for these arguments.

        Args:
            xs: arrays of the shapes that were declared.

        Raises: ShapeError, DTypeError, DeviceError for other arrays.
        """
        made = self._executable("forward")(self._tensors(xs), self.stream)
        return self._trace.build(made)

    __call__ = forward

    def jvp(self, xs: Sequence[Any], dxs: Sequence[Any]) -> tuple[Any, Any]:
        """(result, its derivative in the direction `dxs`); None in `dxs` holds that argument fixed.

        Args:
            xs: arrays of the shapes that were declared.
            dxs: a direction for each of them, of its shape.

        Raises: ShapeError for another number of directions or another shape; DTypeError for a direction of an integer argument.
        """
        present = tuple(d is not None for d in _sequence("jvp: the directions", dxs))
        if len(present) != self._arguments:
            raise ShapeError(f"jvp: one direction for each of the {self._arguments} arguments, got {len(present)}")
        for k, (p, value) in enumerate(zip(present, self.graph.inputs, strict=False)):
            if p and not self.graph.specs[value].dtype.startswith("float"):  # type: ignore[index]
                raise DTypeError(f"jvp: argument {k} holds no floating-point numbers, so it has no direction; pass None")
        run_ = self._executable(("jvp", present), lambda: self._jvp_graph(present))
        made = run_([*self._tensors(xs), *self._tensors(dxs, "direction")], self.stream)
        half = len(made) // 2
        return tree.unflatten(self._trace.structure, made[:half]), tree.unflatten(self._trace.structure, made[half:])

    def vjp_with_seed(self, xs: Sequence[Any], seed: Any) -> tuple[AnyTensor | None, ...]:
        """A cotangent for each argument (None for integers), given one for the result.

        Args:
            xs: arrays of the shapes that were declared.
            seed: the cotangent of the result, of its structure and shapes.

        Raises: ShapeError.
        """
        return self._pull(xs, seed)[1]

    def _pull(self, xs: Sequence[Any], seed: Any) -> tuple[list[Any], tuple[Any, ...]]:
        seeds, structure = tree.flatten(seed)
        if structure != self._trace.structure:
            raise ShapeError("vjp_with_seed: the seed has the structure of the result")
        specs = [self.graph.specs[v] for v in self.graph.outputs]  # type: ignore[index]
        gs = []
        for s, spec in zip(seeds, specs, strict=True):
            g = self._target.argument(s, spec.dtype)
            if g.shape != spec.shape:
                raise ShapeError(f"vjp_with_seed: the seed must have the result's shape {spec.shape}, got {g.shape}")
            gs.append(g)
        made = self._executable("vjp", self._vjp_graph)([*self._tensors(xs), *gs], self.stream)
        n = len(specs)
        return made[:n], tuple(made[n:])

    # Making plans ----------------------------------------------------------------------------------------------------------

    def _executable(self, key: Any, derive: Callable[[], Graph] | None = None) -> Executable:
        if self._again is not None:
            # An array of another shape is another mistake.
            self._trace.captured.guard.read()
            self._trace.check(type(self).__name__, lambda: Trace(*self._again()))
        return self._trace.executable(key, derive)

    def _tensors(self, xs: Sequence[Any], what: str = "argument") -> list[AnyTensor | None]:
        _sequence(f"the {what}s", xs)
        if len(xs) != self._arguments:
            raise ShapeError(f"the program takes {self._arguments} arguments, got {len(xs)}")
        tensors: list[AnyTensor | None] = []
        for k, (x, value) in enumerate(zip(xs, self.graph.inputs, strict=False)):
            if x is None and what == "direction":
                tensors.append(None)
                continue
            spec = self.graph.specs[value]  # type: ignore[index]
            t = self._target.argument(x, spec.dtype)
            if t.shape != spec.shape:
                raise ShapeError(f"{what} {k} of the program must have shape {spec.shape}, got {t.shape}")
            tensors.append(t)
        return tensors

    def _start(self, further: Sequence[Spec | None] = ()) -> tuple[Graph, list[GraphRef], list[GraphRef], list[Any]]:
        # The recorded graph for a derivative to go on from: its arguments, its results, and further inputs between the first and the rest.
        graph = self.graph._copy()
        rest = graph.inputs[self._arguments :]
        del graph.inputs[self._arguments :]
        more = [graph.arg(spec) for spec in further]
        args, ys = ([GraphRef(graph, v) for v in values] for values in (graph.inputs[: self._arguments], graph.outputs))  # type: ignore[arg-type]
        graph.inputs += rest
        return graph, args, ys, more

    def _jvp_graph(self, present: tuple[bool, ...]) -> Graph:
        specs = [self.graph.specs[v] if p else None for v, p in zip(self.graph.inputs, present, strict=False)]  # type: ignore[index]
        graph, args, ys, moved = self._start(specs)
        ts = forward(graph, [(a, t) for a, t in zip(args, moved, strict=True) if t is not None], ys)
        graph.outputs = _ids([*ys, *with_zeros(graph, ts, ys)])
        return graph

    def _vjp_graph(self) -> Graph:
        graph, args, ys, gs = self._start([self.graph.specs[v] for v in self.graph.outputs])  # type: ignore[index]
        graph.outputs = _ids([*ys, *pulled_back(graph, ys, gs, args)])
        return graph

    def __repr__(self) -> str:
        function = "" if self._recorder is None else f" of {self._recorder.convention()}:"
        return f"<{type(self).__name__}{function or ' of'} {len(self.graph)} nodes, {self._arguments} arguments, {self.graph.dtype}>"

    def _repr_html_(self) -> str:
        return folded(repr(self), graph=str(self.graph), plan=str(self.plan))


class CompiledScalar(CompiledOut):
    """A compiled program with a scalar result.

    Args:
        graph: the program, with all its arguments declared.
        out: its result, a reference of shape `()`.
        device, seed: as for `compile_scalar`.

    Raises: ShapeError for a result that has axes.
    """

    def __init__(self, graph: GraphM, out: Any, device: str = "cpu", seed: int | None = None) -> None:
        if not isinstance(out, GraphRef) or out.shape != ():
            raise ShapeError(f"compile_scalar: the program returns a scalar, got {getattr(out, 'shape', type(out).__name__)}")
        super().__init__(graph, out, device, seed)

    def value_and_grad(self, *xs: Any) -> tuple[AnyTensor, tuple[AnyTensor | None, ...]]:
        """(value, gradients in argument order; None for integers).

        Args:
            xs: arrays of the shapes that were declared.
        """
        made = self._executable("grad", self._grad_graph)(self._tensors(xs), self.stream)
        return made[0], tuple(made[1:])  # type: ignore[return-value]

    def backward(self, *xs: Any) -> tuple[AnyTensor | None, ...]:
        """The gradients in argument order, None for integers.

        Args:
            xs: arrays of the shapes that were declared.
        """
        return self.value_and_grad(*xs)[1]

    def backward_with_seed(self, xs: Sequence[Any], g: Any) -> tuple[AnyTensor | None, ...]:
        """The gradients times the cotangent g of the value.

        Args:
            xs: arrays of the shapes that were declared.
            g: a number.
        """
        return self.vjp_with_seed(xs, g)

    def _grad_graph(self) -> Graph:
        graph, args, ys, _ = self._start()
        graph.outputs = _ids([*ys, *pulled_back(graph, ys, [graph._full(shape=(), value=1.0, dtype=ys[0].dtype)], args)])
        return graph


def _sequence(what: str, given: Any) -> Sequence[Any]:
    if not isinstance(given, tuple | list):
        raise OptionError(f"{what} must be a tuple with one entry for each argument, got {type(given).__name__}")
    return given


def _ids(refs: Sequence[GraphRef | None]) -> list[int | None]:
    return [None if r is None else r.id for r in refs]


def _compiled(
    kind: type[CompiledOut],
    make: Callable[..., Any],
    f: Callable[..., Any],
    shapes: Any,
    dtype: str,
    device: str,
    seed: int | None,
    strict_shapes: bool,
) -> Any:
    name = make.__name__
    recorder = Recorder(name, f)
    if not isinstance(shapes, Iterable) or isinstance(shapes, memoryview):
        raise ShapeError(f"{name}: shapes must be a sequence with a shape or a Spec for each argument, got {shapes!r}")
    specs = [as_spec(s) for s in shapes]
    strict_shapes = flag(name, "strict_shapes", strict_shapes)
    if target_of(device) is not CPU and dtype == "float64":
        raise DTypeError("compile: CUDA computes in float32, got dtype='float64'")

    def trace() -> tuple[Traced, Any]:
        graph = Traced(dtype, Captured(f, frozen=True, own=device != "cpu"))
        graph.strict_shapes = strict_shapes
        return graph, recorder(graph, *(graph.arg(i, s) for i, s in enumerate(specs)))

    made = kind(*trace(), device, seed)
    made._made_by, made._recorder = (make, (f, specs, dtype, device, seed, strict_shapes)), recorder
    if check_capture():
        made._again = trace
    return made


def compile_scalar(
    f: Callable[..., Any],
    shapes: Sequence[Any],
    dtype: FloatName = "float32",
    device: str = "cpu",
    seed: int | None = None,
    strict_shapes: bool = False,
) -> CompiledScalar:
    """Compile a program `f(*refs) -> scalar`, or `f(ops, *refs) -> scalar`.

    Arrays and parameters that f captures are read again at each call. All else that it captures stays as it was: `captured` lists it.
    A program made of a function of a module pickles, by its name.

    Args:
        f: the program.
        shapes: for each argument a shape, or a `Spec(shape, dtype)`.
        dtype: the program's float dtype.
        device: "cpu", "cuda" or "cuda:<number>". On a GPU results are device arrays; arguments may be, and host arrays are copied there.
        seed: of its stream of random numbers; None for its own stream, which `tl.seed` fixes.
        strict_shapes: elementwise ops take inputs of one shape only; otherwise they broadcast.

    Returns: the compiled program, with its value and gradients.
    Raises: ShapeError if the result is not a scalar; DeviceError without such a device, or for an op that cannot run there; DTypeError for
        float64 on a GPU; OptionError if f is no function; what the ops raise.
    """
    return _compiled(CompiledScalar, compile_scalar, f, shapes, dtype, device, seed, strict_shapes)


def compile_out(
    f: Callable[..., Any],
    shapes: Sequence[Any],
    dtype: FloatName = "float32",
    device: str = "cpu",
    seed: int | None = None,
    strict_shapes: bool = False,
) -> CompiledOut:
    """Compile a program `f(*refs)` or `f(ops, *refs)` whose result is a reference or a tree of references; see `compile_scalar`.

    Args:
        f: the program.
        shapes, dtype, device, seed, strict_shapes: as for `compile_scalar`.

    Returns: the compiled program; its `forward` runs it.
    Raises: as `compile_scalar` does, for a result of any shape.
    """
    return _compiled(CompiledOut, compile_out, f, shapes, dtype, device, seed, strict_shapes)
