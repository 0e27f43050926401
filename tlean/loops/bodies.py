"""Bodies of loops as they are recorded: separate programs, in which whatever they capture is an input."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean._core.eager.eager import ParamBase
from tlean._core.refs import RefBase
from tlean.compiler.graph import Graph, GraphRef, Origin
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, OptionError
from tlean.ops import Spec
from tlean.programs.captured import is_array
from tlean.programs.executable import signed_seed
from tlean.programs.inline import is_backend, program_of
from tlean.programs.jit import Compiled
from tlean.programs.running import Wrapped, backend_itself

#: Plain numbers, which have no dtype yet; NumPy's have.
NUMBERS = (bool, int, float)


class Draws:
    """The random ops of a loop: they share one seed of the program around it, from which each takes its own at each step."""

    def __init__(self, name: str, program: Any) -> None:
        self._name, self._around = name, backend_itself(program)
        self._seed: Any = None
        #: How many random ops the bodies have so far.
        self.count = 0

    @property
    def seed(self) -> Any:
        """The seed, as a reference of the program around the loop."""
        if self._seed is None:
            self._seed = self._drawn(self._around)
        return self._seed

    def _drawn(self, ops: Any) -> Any:
        if hasattr(ops, "lift"):
            # A backend around another one, which draws.
            return ops.lift(self._drawn(ops.inner))
        if getattr(ops, "next_seed", None) is None:
            raise OptionError(f"{self._name}: a recorded program needs an explicit seed")
        return drawn_seed(ops)


def drawn_seed(ops: Any) -> Any:
    """The next seed of a backend's stream, as a reference of it."""
    number = ops.next_seed()
    return number if isinstance(number, RefBase) else ops._own_constant(as_tensor(signed_seed(number), "int64"))


class BodyGraph(Graph):
    """A body inside a program: references and arrays of that program become further inputs.

    Args:
        name: of the loop, for messages.
        program: the program around it.
        draws: the random ops of the loop's bodies; by default its own.
    """

    around: Any

    def __init__(self, name: str, program: Any, draws: Draws | None = None) -> None:
        outer = backend_itself(program)
        super().__init__(outer.dtype, merge=False)
        self._name = name
        self._program, self.around = program, outer
        self.strict_shapes: bool = bool(getattr(outer, "strict_shapes", False))
        #: References of the program around it, and the inputs that they are here.
        self.captured: list[Any] = []
        self._seen: dict[Any, tuple[Any, GraphRef]] = {}
        self.draws: Draws = Draws(name, program) if draws is None else draws
        #: The number of the step, if the body reads it: an input that the loop gives.
        self.step: GraphRef | None = None
        self.next_seed: Callable[[], GraphRef] = self._next_seed
        if isinstance(program, Wrapped):
            # Inside a layer a parameter means the value that it has there.
            self.use = lambda p: self.ref(program.value(p))  # type: ignore[method-assign]
        elif hasattr(outer, "use"):
            self.use = lambda p: self.ref(outer.use(p))  # type: ignore[method-assign]

    def _next_seed(self) -> GraphRef:
        seed = self._capture(self.draws.seed, self.draws.seed)
        self.draws.count += 1
        return self.apply("_loop_seed", (seed, self.number()), {"number": self.draws.count - 1})  # type: ignore[no-any-return]

    def _origin(self, name: str | None) -> str | None:
        return Origin.here(name)

    def number(self) -> GraphRef:
        """The number of the step."""
        if self.step is None:
            self.step = self._value(Spec((), "int64"))
        return self.step

    def source(self, value: int) -> Any:
        """What an input was captured as: a reference of a program around this, an array, or a parameter.

        Args:
            value: the input.
        """
        return next(source for source, made in self._seen.values() if made.id == value)

    def _adopt(self, value: int, outer: Any) -> None:
        """Make a value an input, which is captured.

        Args:
            value: of this body, which no node makes any more.
            outer: what it is in the program around.
        """
        self.inputs.append(value)
        self.captured.append(outer)
        self._seen["adopted", value] = outer, GraphRef(self, value)

    def forget(self) -> None:
        """Let go of what was captured: an array that no one else holds is a constant of the program around the loop."""
        self._seen.clear()

    def beside(self) -> BodyGraph:
        """Another body of the same loop."""
        return BodyGraph(self._name, self._program, self.draws)

    def encloses(self, other: Graph) -> bool:
        """Whether this is a body inside that program.

        Args:
            other: the program.
        """
        return self.around is other or (isinstance(self.around, Graph) and self.around.encloses(other))

    def ref(self, value: Any, dtype: str | None = None) -> GraphRef | None:
        """The value as a reference of the body; one of the program around it, and any array, is captured.

        Args:
            value: a reference or anything array-like.
            dtype: of an array.
        """
        if value is None or (isinstance(value, GraphRef) and value.ops is self):
            return value
        if isinstance(value, RefBase):
            return self._capture(value, value if value.ops is self.around else self.around.ref(value))  # type: ignore[attr-defined]
        if isinstance(value, ParamBase) and isinstance(self._program, Wrapped):
            return self.ref(self._program.value(value))
        if isinstance(value, ParamBase) and hasattr(self.around, "use"):
            # A leaf of the program around it, so that gradients reach it there.
            return self.ref(self.around.use(value))
        if is_array(value):
            return self._array(value, dtype)
        return super().ref(value, dtype)

    def const(self, value: Any, name: str | None = None) -> GraphRef:
        """A constant; an array is captured.

        Args:
            value: anything array-like.
            name: shown in printed graphs.
        """
        if isinstance(value, ParamBase) or is_array(value):
            return self.ref(value)  # type: ignore[return-value]
        return super().const(value, name)

    leaf = const

    def _own_constant(self, value: Any) -> GraphRef:
        if isinstance(value, ParamBase) or is_array(value):
            return self.ref(value, value.dtype if isinstance(value, AnyTensor) else None)  # type: ignore[return-value]
        return super()._own_constant(value)

    def _array(self, value: Any, dtype: str | None) -> GraphRef:
        key = (id(value), dtype)
        if key in self._seen:
            return self._seen[key][1]
        if isinstance(self.around, Graph):
            outer = self.around.ref(value, dtype)
        else:
            tensor = as_tensor(value) if dtype is None else as_tensor(value, dtype)
            outer = self.around._own_constant(tensor if dtype or tensor.dtype not in FLOATS else as_tensor(value, self.dtype))
        return self._capture(value, outer, key)

    def _capture(self, value: Any, outer: Any, key: Any = None) -> GraphRef:
        key = ("ref", outer.id) if isinstance(outer, GraphRef) else id(outer) if key is None else key
        if key not in self._seen:
            made = self.arg(Spec(tuple(outer.shape), str(outer.dtype)))
            self.captured.append(outer)
            # Values are held, so that no other gets their number.
            self._seen[key] = (value, made)  # type: ignore[assignment]
        return self._seen[key][1]


def leaf(ops: Any, value: Any) -> Any:
    """A leaf of a loop's arguments as a reference of a backend: integers and Booleans keep their kind."""
    if isinstance(value, RefBase):
        return value if value.ops is ops else ops.ref(value)  # type: ignore[attr-defined]
    if isinstance(ops, Graph):
        return ops.ref(value)
    if isinstance(value, ParamBase):
        return ops.use(value) if hasattr(ops, "use") else ops.const(value)
    tensor = as_tensor(value)
    return ops.const(value) if tensor.dtype in FLOATS else ops._own_constant(as_tensor(value, "int64" if tensor.dtype == "int32" else None))


def spec_of(ref: Any) -> Spec:
    """The spec of a reference of any backend."""
    return Spec(tuple(ref.shape), str(ref.dtype))


def results(graph: BodyGraph, leaves: Sequence[Any], like: Sequence[Spec | None]) -> list[GraphRef]:
    """What a body returned, as references of it; a plain number takes the dtype that is wanted."""
    made = []
    for x, wanted in zip(leaves, like, strict=True):
        number = wanted is not None and type(x) in NUMBERS
        made.append(graph._constant(as_tensor(x, wanted.dtype)) if number else graph.ref(x))  # type: ignore[union-attr]
    return made  # type: ignore[return-value]


def called(name: str, functions: Sequence[Any], record: Callable[..., Any], *args: Any) -> Any:
    """The results of a loop: recorded into the running program, or into that of references among the arguments and among what the
    functions name; or computed where there is none.

    Args:
        name: of the loop.
        functions: the user's.
        record: `record(program, *args)` records it.
        args: trees of arrays and references.
    """
    program, _ = program_of((args, [_named(f) for f in functions]), {})
    if program is not None:
        return record(program, *args)
    leaves, structure = tree.flatten(args)
    for x in leaves:
        if is_backend(x):
            raise DTypeError(f"{name}: arrays and references are expected, got a {type(x).__name__}")
    arrays = [k for k, x in enumerate(leaves) if type(x) not in NUMBERS]

    def whole(graph: Any, *given: Any) -> Any:
        # Plain numbers stay what they are: of what dtype they are is for the loop to say.
        found = list(leaves)
        for k, ref in zip(arrays, given, strict=True):
            found[k] = ref
        return record(graph, *tree.unflatten(structure, found))

    run = Compiled(whole, kept=False)
    run._name = name
    return run(*(leaves[k] for k in arrays))


def _named(function: Any) -> list[RefBase]:
    # The references that a function names: of its closure, and of its module.
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    values = [cell.cell_contents for _, cell in cells if cell != _EMPTY]
    values += [function.__globals__[n] for n in code.co_names if n in function.__globals__]
    found = [x for v in values if isinstance(v, RefBase | list | tuple | dict) for x in tree.flatten(v)[0]]
    return [x for x in found if isinstance(x, RefBase)]


_EMPTY = types.CellType()
