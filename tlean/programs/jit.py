"""Programs as functions of arrays, compiled when arrays of new shapes or dtypes come."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor, as_argument
from tlean.caching import Cache
from tlean.compiler.cost import Cost, cost_of
from tlean.compiler.cpu import CPU
from tlean.compiler.graph import Graph
from tlean.compiler.target import Target
from tlean.devices import device_of, target_of
from tlean.display import folded
from tlean.dtypes import FLOATS, INTEGERS
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.ops import Spec

from .calls import Form, StaticArguments, taken_apart
from .captured import Captured, check_capture
from .compiled import Traced
from .executable import Stream
from .inline import program_of, trace_into
from .recorder import Recorder
from .running import frame
from .trace import MOST_KEPT, Trace


def specs_of(leaves: Sequence[Any], target: Target = CPU) -> tuple[list[Any], list[Spec], str]:
    """Arrays, specs and float dtype of the arguments of a functional call.

    Arrays keep their dtype. The float dtype, that of Python numbers, is float64 if any array is, else
    float32. On a GPU all floats are float32.
    """
    raw = [x if isinstance(x, AnyTensor) else target.argument(x) for x in leaves]
    strong = [hasattr(x, "dtype") for x in leaves]
    wide = target is CPU and any(t.dtype == "float64" and s for t, s in zip(raw, strong, strict=True))
    dtype = "float64" if wide else "float32"
    tensors = []
    for t, s in zip(raw, strong, strict=True):
        tensors.append(t if s and (t.dtype in INTEGERS or (target is CPU and t.dtype in FLOATS)) else target.array(t, dtype))
    return tensors, [Spec(t.shape, t.dtype) for t in tensors], dtype


_ARRAYS = frozenset((AnyTensor, np.ndarray))
#: Traces that are kept for arguments of the same shapes and dtypes, while what the program captures goes back and forth.
_MOST_TRACES = 8


class Compiled:
    """A program compiled per structure, shapes and dtypes of its arguments, and kept.

    Called with a backend first or with references it records into that program.

    Args:
        record: `record(graph, *args)` records the program and returns a tree of references.
        device: where it runs; None for the device of the first device array among the arguments, the CPU where there is none.
        seed: of the stream of random numbers; None for its own stream.
        program: the user's function that `record` calls, where it is another: what that captures is looked at before each call.
        frozen: only captured arrays are looked at; all else stays as it was when the program was traced.
        kept: False traces it at each call.
        statics: which arguments are part of the program; None for none but strings, Booleans, functions and None among those by keyword.
    """

    #: What made it, for messages.
    _name = "the program"

    def __init__(
        self,
        record: Callable[..., Any],
        seed: int | None = None,
        device: str | None = None,
        program: Callable[..., Any] | None = None,
        frozen: bool = False,
        kept: bool = True,
        statics: StaticArguments | None = None,
    ) -> None:
        self._record = record
        self._statics = statics
        self.__wrapped__: Callable[..., Any] = record if program is None else program
        self._frozen, self._kept = frozen, kept
        self._target = None if device is None else target_of(device)
        self._known = Cache(MOST_KEPT)
        #: The same for calls with nothing but arrays, by what is quick to ask of them; with the dtypes that the plan takes.
        self._arrays = Cache(MOST_KEPT)
        self._latest: Trace | None = None
        self.stream: Stream = Stream(seed)

    def _call_known(self, known: tuple[list[Trace], list[str]], args: tuple[Any, ...]) -> Any:
        # The result for arrays like those of an earlier call.
        traces, dtypes = known
        for trace in traces:
            more = trace.captured.guard.check()
            if more is not None:
                self._latest = trace
                tensors = [as_argument(a, d) for a, d in zip(args, dtypes, strict=True)]
                return trace.build(trace.run(tensors, self.stream, more))
        leaves, form = taken_apart(self._name, args, {})
        return self._call(args, leaves, form, True)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if len(args) == 1:
            (a,) = args
            quick = self._arrays.get(((a.shape, a.dtype),)) if type(a) in _ARRAYS else None
        else:
            quick = self._arrays.get(tuple([(a.shape, a.dtype) if type(a) in _ARRAYS else None for a in args]))
        if quick is not None and not keywords and frame() is None:
            return self._call_known(quick, args)
        program, args = program_of(args, keywords)
        if self._statics:
            args, keywords = self._statics.mark(args, keywords)
        leaves, form = taken_apart(self._name, args, keywords)
        if program is not None:
            return trace_into(program, self._record, leaves, form)
        return self._call(args, leaves, form, self._kept)

    def _call(self, args: tuple[Any, ...], leaves: Sequence[Any], form: Form, keep: bool) -> Any:
        target = self._target or target_of(device_of(leaves))
        tensors, specs, dtype = self._specs(leaves, form, target)
        key = (form, tuple(specs), dtype, target)
        traces = self._known.get(key, [])
        trace, more = self._valid(traces)
        checked = check_capture()
        if trace is not None and checked:
            name = getattr(self.__wrapped__, "__name__", "the program")
            trace.check(name, lambda: self._trace(form, specs, dtype, target, keep))
        elif trace is None:
            trace = self._trace(form, specs, dtype, target, keep)
            more = trace.captured.guard.check()
            if more is None:
                # The program changes what it reads: it runs on what it was traced with, this once.
                more = trace.captured.as_traced()
            elif keep:
                self._keep(key, trace)
            trace.captured.settle()
        if keep and not checked and self._known.get(key) and not form.has_keywords and all(type(a) in _ARRAYS for a in args):
            self._arrays.keep(tuple((a.shape, a.dtype) for a in args), (self._known[key], [s.dtype for s in specs]))
        self._latest = trace
        return trace.build(trace.run(tensors, self.stream, more))

    def _specs(self, leaves: Sequence[Any], form: Form, target: Target) -> tuple[list[Any], list[Spec], str]:
        try:
            return specs_of(leaves, target)
        except (DTypeError, ShapeError, OptionError) as error:
            raise self._named(error, leaves, form, target) from None

    def _named(self, error: Exception, leaves: Sequence[Any], form: Form, target: Target) -> Exception:
        # The error of a call with the argument that it is about.
        for x, name in zip(leaves, form.names(), strict=True):
            try:
                specs_of([x], target)
            except type(error) as own:
                what = (
                    "; a keyword argument, or one of static_argnums of jit, may be part of the program"
                    if isinstance(x, str) or callable(x)
                    else ""
                )
                return type(error)(f"{self._name}: {name}: {own}{what}")
        return error

    @staticmethod
    def _valid(traces: Sequence[Trace]) -> tuple[Trace | None, list[AnyTensor] | None]:
        # The first trace that holds for what the program captures now, with the captured arrays that it takes.
        for trace in traces:
            more = trace.captured.guard.check()
            if more is not None:
                return trace, more
        return None, None

    def _keep(self, key: Any, trace: Trace) -> None:
        traces = self._known.make(key, list)
        traces.insert(0, trace)
        del traces[_MOST_TRACES:]

    def _trace(self, form: Form, specs: Sequence[Spec], dtype: str, target: Target, keep: bool) -> Trace:
        # A program that runs once is looked at no further: what it reads is what it is.
        captured = Captured(self.__wrapped__ if keep else None, self._frozen or not keep, target is not CPU)
        if keep:
            for _, static in form.statics:
                captured.follow(static.value)
        graph = Traced(dtype, captured)
        graph.keeps_wide = target is CPU and dtype == "float32"
        args, keywords = form.build([graph.arg(i, s) for i, s in enumerate(specs)])
        return Trace(graph, self._record(graph, *args, **keywords), target)


class Jitted(Compiled):
    """What `jit` returns: a program that is kept, and can be looked at."""

    _name = "jit"

    def __init__(
        self, f: Callable[..., Any], seed: int | None, device: str | None, static_argnums: Any = None, static_argnames: Any = None
    ) -> None:
        recorder = Recorder("jit", f)
        statics = StaticArguments("jit", recorder, static_argnums, static_argnames)
        super().__init__(recorder, seed, device, f, frozen=True, statics=statics if statics else None)
        self._recorder = recorder
        self._given = (f, seed, device, static_argnums, static_argnames)

    def _called(self) -> Trace:
        if self._latest is None:
            raise OptionError("the program was not called yet, so no shapes are known")
        return self._latest

    @property
    def captured(self) -> Mapping[str, Any]:
        """What the latest trace took of its surroundings for good, by name. Arrays that ops were given are read again by each call."""
        return types.MappingProxyType(self._called().captured.frozen)

    @property
    def graph(self) -> Graph:
        """The program of the latest call, one line a node when printed."""
        return self._called().graph

    @property
    def plan(self) -> Any:
        """The instructions of the latest call."""
        return self._called().run.plan

    def cost(self) -> Cost:
        """FLOPs and bytes of the latest call, whole and per node."""
        return cost_of(self.graph)

    def __reduce__(self) -> Any:
        return Jitted, self._given

    def __repr__(self) -> str:
        return f"<jit of {self._recorder.convention()}>"

    def _repr_html_(self) -> str:
        if self._latest is None:
            return folded(f"{self!r}, not called yet")
        return folded(repr(self), **{"graph of the latest call": str(self.graph), "its plan": str(self.plan)})


def jit(
    f: Callable[..., Any], device: str | None = None, seed: int | None = None, static_argnums: Any = None, static_argnames: Any = None
) -> Jitted:
    """The program `f(*xs)`, or `f(ops, *xs)`, as a function of arrays, compiled once for each structure, shapes and dtypes of arguments.

    Arrays and parameters that f captures are read again at each call. All else that it captures stays as it was when f was traced:
    `captured` lists it. A function of a module pickles, by its name.

    Args:
        f: the program. It may have keyword arguments; of these strings, Booleans, None and functions are part of the program.
        device: where it runs, "cpu", "cuda" or "cuda:<number>"; None for where the first device array among the arguments is, the CPU
            where there is none. On a GPU results are device arrays.
        seed: of its stream of random numbers; None for its own stream, which `tl.seed` fixes.
        static_argnums: the number of an argument, or several, counted without `ops`, that is part of the program too: hashable, and
            compiled for each value.
        static_argnames: the same by name.

    Raises: OptionError for another device, or if f is no function; DeviceError without such a device; when called, DeviceError for an op
        that cannot run there, CallError for arguments that f does not take.

    Example:
        >>> f = tl.jit(lambda x, *, scale=1.0: scale * x + 1)
        >>> f(np.array([1.0, 2.0]), scale=3.0).tolist()
        [4.0, 7.0]
    """
    return Jitted(f, seed, device, static_argnums, static_argnames)
