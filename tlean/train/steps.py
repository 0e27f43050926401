"""How a trainer's steps run: op by op on a session, or as one plan that holds forward, backward and the update."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean._core.plan.bound import BoundStep
from tlean._core.plan.commit import Commit
from tlean.caching import Cache
from tlean.compiler.cpu import CPU
from tlean.compiler.derive import reverse
from tlean.compiler.graph import GraphRef
from tlean.devices import array_at, context_of, target_of
from tlean.errors import DTypeError, ShapeError
from tlean.interpreters.eager import without_tape
from tlean.ops import Spec
from tlean.ops.optim import FINITE
from tlean.ops.rows.updates import FEWEST
from tlean.optim.clip import clipped
from tlean.optim.param_list import ParamList
from tlean.optim.rows import RowGradient
from tlean.optim.updates import Update, alone, check_dtypes, check_finite, slots
from tlean.options import Options
from tlean.param import Param
from tlean.programs.captured import Captured, check_capture
from tlean.programs.compiled import Traced
from tlean.programs.executable import Stream
from tlean.programs.recorder import Recorder
from tlean.programs.trace import MOST_KEPT, Trace
from tlean.session.base import Session
from tlean.shapes import size

#: (parameter, its new value) of what a step stores beside what the optimiser moves, found in `aux`: the buffers of a model.
Stored = Callable[[Any], Iterable[tuple[Param, Any]]]


def _nothing(aux: Any) -> Iterable[tuple[Param, Any]]:
    return ()


#: What is not finite beside the loss, for messages.
_GRADIENT, _NORM = "a gradient", "the norm of the gradients"


def _scalar(result: Any) -> tuple[Any, Any]:
    value, aux = result if isinstance(result, tuple) else (result, None)
    if tuple(value.shape) != ():
        raise ShapeError(f"ScalarTrainer: the loss must be a scalar, got shape {tuple(value.shape)}")
    return value, aux


class EagerSteps:
    """Each op runs when the loss calls it; Python is entered once per op."""

    #: Each step sees what the loss captures as it is.
    captured: Mapping[str, Any] = types.MappingProxyType({})

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any]) -> None:
        self.session: Session = Session(options.replace(backend="eager"))
        self.params = params
        self.loss = loss
        self.recorder: Recorder = Recorder("ScalarTrainer", loss)
        self.stored: Stored = _nothing
        self._where = context_of(options.device)
        self._large = [p for p in params if size(p.shape) >= FEWEST]
        # Where the random stream is between the calls. The session's own moves with its ops, and counts once the call has succeeded.
        self._position = 0

    def array(self, x: Any, dtype: str) -> Any:
        """An input as the steps take it. Raises: DTypeError, ShapeError."""
        return CPU.array(x, dtype) if self._where is None else array_at(x, dtype, self._where)

    @property
    def stream_state(self) -> tuple[int, int]:
        """(seed, position) of the random stream."""
        return self.session.session_seed, self._position

    @stream_state.setter
    def stream_state(self, state: tuple[int, int]) -> None:
        self.session.session_seed, self._position = state

    def _record(self, inputs: Sequence[AnyTensor]) -> tuple[Any, Any]:
        s = self.session
        s.reset_tape()
        s.stream_position = self._position
        refs = s.use_all(list(self.params))
        value, aux = _scalar(self.recorder(s, *refs, *[s.add_leaf(x, False) for x in inputs]))
        return value, tree.map(lambda r: getattr(r, "value", r), aux)

    def forward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        """(loss, aux)."""
        ref, aux = without_tape(self._record, inputs)
        value = ref.value
        self._position = self.session.stream_position
        return value, aux

    def _grads(self, inputs: Sequence[AnyTensor], tables: Sequence[Param] = ()) -> tuple[AnyTensor, Any, dict[Any, Any]]:
        # `tables`: whose steps take a gradient by rows.
        ref, aux = self._record(inputs)
        value = ref.value
        session: Any = self.session
        grads = session.backward_by_rows(ref, tables) if tables else session.backward_params(ref)
        # The tape goes before an update: its leaves hold the parameters' memory.
        self.session.reset_tape()
        return value, aux, grads

    def backward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any, list[AnyTensor | None]]:
        """(loss, aux, gradients)."""
        value, aux, grads = self._grads(inputs)
        found = [grads.get(p) for p in self.params]
        self._position = self.session.stream_position
        return value, aux, found

    def _clipped(self, grads: Sequence[AnyTensor], clip_norm: float) -> tuple[list[Any], Any]:
        return clipped(self.session, [self.session.add_leaf(g, False) for g in grads], clip_norm)

    def step(
        self, update: Update, inputs: Sequence[AnyTensor], clip_norm: float | None, finite: bool = False
    ) -> tuple[AnyTensor, Any, list[Param]]:
        """Backward, then the update: (loss, aux, the parameters that moved). All of it, or an exception and nothing."""
        # A norm is that of whole gradients, and a device makes these.
        whole = clip_norm is not None or self._where is not None
        tables = () if whole else [p for p in self._large if update.kernel(p) == "_sgd_step"]
        value, aux, grads = self._grads(inputs, tables)
        moved = {p: g for p, g in grads.items() if update.kernel(p)}
        looked_at, what = [g.sums if type(g) is RowGradient else g for g in moved.values()], _GRADIENT
        if clip_norm is not None and moved:
            scaled, norm = without_tape(self._clipped, list(moved.values()), clip_norm)
            moved = {p: g.value for p, g in zip(moved, scaled, strict=True)}
            looked_at, what = [norm.value], _NORM
        if finite:
            check_finite(value, looked_at, what)
        changes = Commit()
        changes.set(self, "_position", self.session.stream_position)
        for p, new in self.stored(aux):
            if new is not None:
                p._check_like(new)
                p._assign(changes, new)
        update.apply(moved, changes)
        return value, aux, list(moved)


class _Step(Traced):
    # A step's graph: `use` of a parameter that the trainer has is its argument, so that it moves as it does eagerly.

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.own: dict[int, Any] = {}

    def use(self, p: Any) -> Any:
        """The trainer's own parameter as its argument, another as a value that each run reads."""
        own = self.own.get(id(p))
        return super().use(p) if own is None else own


class _Bound(NamedTuple):
    # A step that is repeated: its plan, the parameters that move, one of each group with its kernel, and what gathers the inputs.
    trace: Trace
    moved: list[Param]
    leaders: Sequence[tuple[Param, str]] = ()
    step: Any = None


class CompiledSteps:
    """The whole step is one plan, with the parameters and the optimiser's states as state slots; Python is entered once per step."""

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any]) -> None:
        self.options = options
        self.params = params
        self.loss = loss
        self.recorder: Recorder = Recorder("ScalarTrainer", loss)
        self.stored: Stored = _nothing
        self.stream: Stream = Stream(options.first_seed())
        self._target: Any = target_of(options.device, options.fast_gpu_matmul_precision, options.deterministic, options.fast_kernels)
        self._made = Cache(MOST_KEPT)
        # Repeated steps, of a few optimisers and shapes of the inputs.
        self._bound = Cache(4)
        self._checked = check_capture()
        #: What the latest plan took of the loss's surroundings for good, by name.
        self.captured: Mapping[str, Any] = {}
        # The `hyper` of the last step as arrays: rates mostly stay.
        self._vectors: dict[tuple[float, ...], AnyTensor] = {}

    def array(self, x: Any, dtype: str) -> Any:
        """An input as the steps take it; the plan copies what is not on its device. Raises: DTypeError, ShapeError."""
        return self._target.argument(x, dtype)

    @property
    def stream_state(self) -> tuple[int, int]:
        """(seed, position) of the random stream."""
        return self.stream.seed, self.stream.position

    @stream_state.setter
    def stream_state(self, state: tuple[int, int]) -> None:
        self.stream.seed, self.stream.position = state

    def _plan(
        self, kind: str, inputs: Sequence[AnyTensor], update: Update | None = None, clip_norm: float | None = None, finite: bool = False
    ) -> Trace:
        kernels = tuple([(update.kernel(p) if update else "") if p.requires_grad else None for p in self.params])
        key = (kind, kernels, clip_norm, finite, tuple([(t.shape, t.dtype) for t in inputs]))
        trace = self._made.get(key)
        if trace is None:
            trace = self._record(kind, inputs, kernels, update, clip_norm, finite)
            # Made now: a plan that cannot be made is not kept.
            _ = trace.run
            self._made.keep(key, trace)
            self.captured = trace.captured.frozen
        elif self._checked:
            trace.check("ScalarTrainer", lambda: self._record(kind, inputs, kernels, update, clip_norm, finite))
        return trace

    def _record(
        self,
        kind: str,
        inputs: Sequence[AnyTensor],
        kernels: Sequence[str | None],
        update: Update | None,
        clip_norm: float | None,
        finite: bool,
    ) -> Trace:
        graph, params, refs = self._started(inputs)
        value, aux = _scalar(self.recorder(graph, *params, *refs))
        leaves, structure = tree.flatten(aux)
        outputs = [value, *map(graph.ref, leaves)]
        moved: list[int] = []
        if kind != "forward":
            wrt = [None if k is None else r for r, k in zip(params, kernels, strict=True)]
            grads = reverse(graph, [(value, graph._full(shape=(), value=1.0, dtype=value.dtype))], wrt)
            moved = [k for k, g in enumerate(grads) if g is not None]
            outputs += self._moves(graph, params, value, {k: grads[k] for k in moved}, kernels, update, clip_norm, finite)
        places = tree.unflatten(structure, range(1, 1 + len(leaves)))
        stored = [(p, number) for p, number in self.stored(places) if number is not None] if update is not None else []
        return Trace(graph, outputs, self._target, (structure, moved, stored))

    def _started(self, inputs: Sequence[AnyTensor]) -> tuple[_Step, list[Any], list[Any]]:
        # Arguments: parameters, inputs, then, for an update, the states and `hyper` of each parameter that it moves. The trace keeps the
        # structure of aux, which parameters are moved (those that have a gradient), and the outputs that are stored.
        check_dtypes("ScalarTrainer", self.params, self.options.dtype)
        graph = _Step(self.options.dtype, Captured(self.loss, frozen=True, own=self.options.device != "cpu"))
        graph.strict_shapes = self.options.strict_shapes
        names = [f"parameter {n}" for n in self.params.names()] + [f"input {k}" for k in range(len(inputs))]
        specs = [Spec(p.shape, p.dtype) for p in self.params] + [Spec(t.shape, t.dtype) for t in inputs]
        refs = [graph.arg(k, s, n) for k, (s, n) in enumerate(zip(specs, names, strict=True))]
        params = refs[: len(self.params)]
        graph.own = dict(zip(map(id, self.params), params, strict=True))
        return graph, params, refs[len(params) :]

    def _moves(
        self,
        graph: Traced,
        params: Sequence[Any],
        value: Any,
        grads: Mapping[int, Any],
        kernels: Sequence[str | None],
        update: Update | None,
        clip_norm: float | None,
        finite: bool,
    ) -> list[Any]:
        # What becomes of the gradients, by the parameter's number: without an update they are results.
        found = list(grads.values())
        if update is None:
            return found
        looked_at, what = found, _GRADIENT
        if clip_norm is not None and found:
            found, norm = clipped(graph, found, clip_norm)
            looked_at, what = [norm], _NORM
        # The first update waits for the look at the numbers; the others follow it.
        look = (value, looked_at, what) if finite else None
        for k, g in zip(grads, found, strict=True):
            self._update(graph, k, params[k], g, str(kernels[k]), len(update.hyper(self.params[k], 1)), look)
            look = None
        return []

    def _update(self, graph: Traced, k: int, p: Any, g: Any, kernel: str, length: int, look: Any) -> None:
        # Parameter k's update op, with the parameter and its states as state slots.
        name = self.params.names()[k]
        before = [p, *(graph._slot(p.spec, f"state {j + 1} of parameter {name}") for j in range(slots(kernel)))]
        hyper = graph._slot(Spec((length,), "float64"), f"the numbers of the step of parameter {name}")
        if look is not None:
            value, others, what = look
            hyper = GraphRef(graph, graph._record(FINITE, (hyper.id, value.id, *(r.id for r in others)), {}, what)[0])
        step = graph.apply(kernel, (p, g, *before[1:], hyper), {})
        after = step if isinstance(step, tuple) else (step,)
        names = [f"param {k}", *(f"state {j} of {k}" for j in range(1, len(after)))]
        graph.states += [(n, b.id, a.id) for n, b, a in zip(names, before, after, strict=True)]

    def _tensors(self, inputs: Sequence[AnyTensor]) -> list[AnyTensor]:
        return [*(p._tensor for p in self.params), *inputs]

    def _run(self, trace: Trace, tensors: Sequence[Any], changes: Commit) -> list[Any]:
        try:
            return trace.run.step(tensors, self.stream, changes)
        except DTypeError:
            # A parameter that was cast since the plan was made: the message says what to do.
            check_dtypes("ScalarTrainer", self.params, self.options.dtype)
            raise

    def forward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        """(loss, aux)."""
        trace = self._plan("forward", inputs)
        made = self._run(trace, self._tensors(inputs), Commit())
        return made[0], tree.unflatten(trace.more[0], made[1:])  # type: ignore[return-value]

    def backward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any, list[AnyTensor | None]]:
        """(loss, aux, gradients)."""
        trace = self._plan("backward", inputs)
        structure, moved, _ = trace.more
        made = self._run(trace, self._tensors(inputs), Commit())
        split = len(made) - len(moved)
        grads = dict(zip(moved, made[split:], strict=True))
        return made[0], tree.unflatten(structure, made[1:split]), [grads.get(k) for k in range(len(self.params))]  # type: ignore[return-value]

    def step(
        self, update: Update, inputs: Sequence[AnyTensor], clip_norm: float | None, finite: bool = False
    ) -> tuple[AnyTensor, Any, list[Param]]:
        """The whole step in one plan: (loss, aux, the parameters that moved). All of it, or an exception and nothing."""
        key = (self._binding(update), clip_norm, finite, *[(t.shape, t.dtype) for t in inputs])
        bound = self._bound.get(key)
        tensors = None if bound is None else self._repeated(bound, update, inputs)
        repeated = tensors is not None
        if bound is None or tensors is None:
            trace = self._plan("step", inputs, update, clip_norm, finite)
            bound = _Bound(trace, [self.params[k] for k in trace.more[1]])
            extra = self._states(update, bound.moved)
            tensors = [*self._tensors(inputs), *extra]
        structure, _, stored = bound.trace.more
        changes = Commit()
        self._note(changes, update, bound.moved, stored)
        made = self._run(bound.trace, tensors, changes)
        if not repeated and key[0] is not None and bound.moved:
            self._bound.keep(key, self._bind(bound, update, len(inputs)))
        return made[0], None if structure is None else tree.unflatten(structure, made[1:]), bound.moved

    def _binding(self, update: Update) -> Any:
        # None where steps are prepared from the beginning each time.
        return None if self._checked else update._binding()

    def _bind(self, bound: _Bound, update: Update, inputs: int) -> _Bound:
        groups = [update._group_of(p) for p in bound.moved]
        leaders = dict(zip(groups, bound.moved, strict=True))
        number = {group: k for k, group in enumerate(leaders)}
        states = [update.state.moments.get(p) for p in bound.moved]
        step = BoundStep(list(self.params), bound.trace.more[1], states, [number[g] for g in groups], inputs)
        return bound._replace(leaders=[(p, str(update.kernel(p))) for p in leaders.values()], step=step)

    def _repeated(self, bound: _Bound, update: Update, inputs: Sequence[AnyTensor]) -> list[Any] | None:
        # All inputs of a step like an earlier one, or None where something differs.
        counts = bound.step.counts(update.state.steps, update.state.moments)
        if counts is None or any(update.kernel(p) != kernel for p, kernel in bound.leaders):
            return None
        hypers = [update.hyper(p, t + 1) for (p, _), t in zip(bound.leaders, counts, strict=True)]
        before, self._vectors = self._vectors, {}
        return bound.step.tensors(inputs, [self._vector(hyper, before) for hyper in hypers])

    def _vector(self, hyper: tuple[float, ...], before: Mapping[tuple[float, ...], AnyTensor]) -> AnyTensor:
        vector = self._vectors.get(hyper)
        if vector is None:
            vector = before.get(hyper)
            self._vectors[hyper] = vector = as_tensor(hyper, "float64") if vector is None else vector
        return vector

    def _states(self, update: Update, moved: Sequence[Param]) -> list[Any]:
        # The states and `hyper` of each parameter, whose memory and theirs the plan may write to.
        extra: list[AnyTensor] = []
        before, self._vectors = self._vectors, {}
        for p in moved:
            p._tensor = alone(p._tensor)
            states, hyper = update.peek(p, str(update.kernel(p)))
            extra += (*states, self._vector(hyper, before))
        return extra

    def _note(self, changes: Commit, update: Update, moved: Sequence[Param], stored: Sequence[tuple[Param, int]]) -> None:
        # What becomes real with the run of a step.
        changes.count(moved, update.state.steps)
        for p, number in stored:
            p._assign_output(changes, number)


class DeviceSteps(CompiledSteps):
    """The same on a device, where parameters and states stay: a step copies its inputs there, and nothing back until it is read."""

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any]) -> None:
        super().__init__(options, params, loss)
        self._where = self._target.where

    def _tensors(self, inputs: Sequence[Any]) -> list[Any]:
        return [*(p._on_device(self._where) for p in self.params), *inputs]

    def _states(self, update: Update, moved: Sequence[Param]) -> list[Any]:
        extra: list[Any] = []
        vectors: dict[tuple[float, ...], AnyTensor] = {}
        for p in moved:
            p._own_on_device(self._where)
            states, hyper = update.peek(p, str(update.kernel(p)), self._where)
            if states and not all(s.alone for s in states):
                states = update.state.moments[p] = tuple(s.owned() for s in states)
            if hyper not in vectors:
                vectors[hyper] = as_tensor(hyper, "float64")
            extra += [*states, vectors[hyper]]
        return extra

    def _binding(self, update: Update) -> Any:
        return None

    def _note(self, changes: Commit, update: Update, moved: Sequence[Param], stored: Sequence[tuple[Param, int]]) -> None:
        # The parameters' memory stays: the plan writes to it.
        for p in moved:
            p._moves(changes)
        changes.count(moved, update.state.steps)
        for p, number in stored:
            p._assign_output(changes, number, on_device=True)
