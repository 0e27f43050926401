"""The compiled session: records a step's leaves and ops, runs them as plans, and replays a program that comes again.

The session follows the ops as they are called. As long as they match a program that it has seen, nothing is recorded: references come from
the known nodes. The work is done when something is read: the plan for that reading (a value, the gradients, a whole optimiser step) is made
once per program and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlean._core.array import AnyTensor, as_tensor
from tlean._core.eager import recording
from tlean._core.instance import options_key
from tlean._core.refs import RefBase
from tlean._core.threads import cap_threads
from tlean._faces.methods import OpsMethods

from .backends.cpu import CPU
from .backends.derive import reverse
from .backends.executable import Executable, signed_seed
from .backends.graph import Graph, GraphRef
from .backends.lower import target_of
from .backends.target import Target
from .errors import NodeError, NumericsError, OptionError
from .ops import Spec, get
from .options import Options
from .param import Param
from .rng import op_seed
from .session import Gradients, Session, _options

#: Programs that a session keeps; a session that alternates between training and evaluation needs two.
_KEPT = 16


class SessionRef(RefBase):
    """A value of a compiled session."""

    __slots__ = ("generation", "id", "ops", "value_id")

    def __init__(self, ops: CompiledSession, id: int | None, value_id: int) -> None:
        self.ops = ops
        self.id = id
        self.value_id = value_id
        self.generation = ops.generation

    @property
    def shape(self) -> tuple[int, ...]:
        return self.ops._program.graph.specs[self.value_id].shape

    @property
    def dtype(self) -> str:
        return self.ops._program.graph.specs[self.value_id].dtype

    @property
    def requires_grad(self) -> bool:
        return self.id is not None and self.ops._program.flows[self.id]

    @property
    def value(self) -> AnyTensor:
        """The value, as an AnyTensor."""
        return self.ops.get_value(self)

    def numpy(self) -> Any:
        """The value, as a read-only NumPy view."""
        return self.value.numpy()

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self.value.item()

    def __index__(self) -> int:
        if self.id is None:
            raise NodeError("a value computed under no_grad has no node id")
        return self.id

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.value.__array__(dtype, copy)

    def __repr__(self) -> str:
        return f"<{'no_grad' if self.id is None else f'%{self.id}'}: {self.shape} {self.dtype}>"


class _Program:
    # What was recorded, call by call: `entries` to compare the next step with, `made` what each call gave.
    def __init__(self, dtype: str) -> None:
        self.graph = Graph(dtype, merge=False)
        self.entries: list[Any] = []
        self.made: list[tuple[int | None, int | None]] = []
        #: By node id: the value, and whether gradients flow to it.
        self.values: list[int] = []
        self.flows: list[bool] = []
        self.plans: dict[Any, Any] = {}

    def copy(self, count: int) -> _Program:
        """The first `count` calls, to be continued another way."""
        new = _Program(self.graph.dtype)
        new.entries, new.made = self.entries[:count], self.made[:count]
        nodes = sum(1 for id, _ in new.made if id is not None)
        new.values, new.flows = self.values[:nodes], self.flows[:nodes]
        old = self.graph
        new.graph.specs = list(old.specs)
        kept = {v for _, v in new.made if v is not None}
        new.graph.nodes = [n for n in old.nodes if n.outputs[0] in kept]
        new.graph.inputs = [v for v in old.inputs if v in kept]
        new.graph.constants = dict(old.constants)
        return new


class CompiledSession(Session, OpsMethods):
    """A session whose step runs as one plan."""

    #: What plans are made for.
    _target: Target = CPU

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        self.options = _options(options, changes)
        self.dtype = self.options.dtype
        self.generation = 0
        if self.options.device == "cpu":
            self._target = target_of("cpu", fast_kernels=self.options.fast_kernels)
        self.session_seed = self.options.seed
        self.stream_position = 0
        self._known: list[_Program] = []
        self._start()

    def _start(self) -> None:
        self._uses = {}
        self._cursor = 0
        self._program = self._known[-1] if self._known else self._new(_Program(self.dtype))
        self._tensors: list[AnyTensor] = []
        self._computed: dict[int, AnyTensor] = {}
        self._pending: LazyGradients | None = None

    def _new(self, program: _Program) -> _Program:
        self._known.append(program)
        del self._known[:-_KEPT]
        return program

    # Recording --------------------------------------------------------------------------------------------------------------

    def _follow(self, entry: Any) -> tuple[int | None, int | None] | None:
        # What this call gave in a program that began like this step, or None when it has to be recorded.
        program = self._program
        if self._cursor < len(program.entries):
            if program.entries[self._cursor] == entry:
                self._cursor += 1
                return program.made[self._cursor - 1]
            begun = program.entries[: self._cursor]
            for other in reversed(self._known):
                if len(other.entries) > self._cursor and other.entries[self._cursor] == entry and other.entries[: self._cursor] == begun:
                    self._program = other
                    self._known.remove(other)
                    self._known.append(other)
                    self._cursor += 1
                    return other.made[self._cursor - 1]
            self._program = self._new(program.copy(self._cursor))
        return None

    def _append(self, entry: Any, value: int, flows: bool, node: bool) -> tuple[int | None, int]:
        program = self._program
        id = len(program.values) if node else None
        if node:
            program.values.append(value)
            program.flows.append(flows)
        program.entries.append(entry)
        program.made.append((id, value))
        self._cursor += 1
        return id, value

    def _input(self, value: AnyTensor, flows: bool, node: bool) -> tuple[int | None, int]:
        spec = Spec(value.shape, value.dtype)
        entry = ("input", spec, flows, node)
        found = self._follow(entry)
        if found is None:
            ref = self._program.graph.arg(spec)
            found = self._append(entry, ref.id, flows, node)  # type: ignore[union-attr]
        self._tensors.append(value)
        return found  # type: ignore[return-value]

    def add_leaf(self, value: AnyTensor, requires_grad: bool = True, name: str | None = None) -> SessionRef:
        """A leaf that holds this array itself, of whatever dtype."""
        flows = requires_grad and value.dtype.startswith("float")
        return SessionRef(self, *self._input(value, flows, recording()))

    def held(self, value: Any, dtype: str | None = None) -> Any:
        """A value as an array that plans take. Raises: DTypeError, ShapeError."""
        return self._target.array(value, dtype)

    def leaf(self, value: Any, requires_grad: bool = True, name: str | None = None) -> SessionRef:
        """A leaf with this value (copied, cast to the session's dtype)."""
        return self.add_leaf(self.held(value, self.dtype), requires_grad, name)

    def input(self, x: Any, name: str | None = None, requires_grad: bool | None = None) -> SessionRef:
        """A leaf with this value (copied, cast to the session's dtype)."""
        return self.leaf(x, self.options.requires_grad_by_default if requires_grad is None else requires_grad, name)

    def const(self, value: Any, name: str | None = None) -> SessionRef:
        """A leaf that takes no gradient."""
        return self.leaf(value, False, name)

    def next_seed(self) -> int:
        """The seed of the next random op of the session's stream."""
        self.stream_position += 1
        return op_seed(self.session_seed, self.stream_position - 1)

    def apply(self, op: Any, inputs: Sequence[Any], options: dict[str, Any], name: str | None = None) -> Any:
        """Record one op."""
        record = get(op)
        if len(record.outputs) > 1:
            raise OptionError(f"{record.name}: an op with several outputs has no place on a tape")
        cursor, program, tensors, position = self._cursor, self._program, len(self._tensors), self.stream_position
        try:
            names = record.input_names(len(inputs))
            ids = tuple(self._argument(record, n, x) for n, x in zip(names, inputs, strict=True))
            keep = recording()
            entry = (record.name, ids, options_key(options), keep)
            found = self._follow(entry)
            if found is None:
                value = self._program.graph.record(record, ids, options, name)[0]
                flows = record.differentiable and keep and any(self._flows(i) for i in ids if i is not None)
                found = self._append(entry, value, flows, keep)
            return SessionRef(self, *found)  # type: ignore[arg-type]
        except Exception:
            # The step is as before the op; a program that was continued for it goes back to where it was.
            if self._program is not program or len(self._program.entries) > max(cursor, len(program.entries)):
                self._program = self._new(self._program.copy(cursor))
            self._cursor, self.stream_position = cursor, position
            del self._tensors[tensors:]
            raise

    def _flows(self, value: int) -> bool:
        program = self._program
        return any(v == value and f for v, f in zip(program.values, program.flows, strict=True))

    def _argument(self, record: Any, name: str, x: Any) -> int | None:
        if x is None and record.random and name == "seed":
            x = as_tensor(signed_seed(self.next_seed()), "int64")
        if x is None:
            return None
        if isinstance(x, SessionRef):
            self.require(x)
            return self._constant(x.value_id) if x.id is None and recording() else x.value_id
        if isinstance(x, RefBase):
            raise NodeError(f"{record.name}: a reference belongs to another session or backend")
        if name in record.integer:
            if hasattr(x, "__tlean_value__"):
                x = x.__tlean_value__(self)
            tensor = self.held(x)
            return self._input(tensor if tensor.dtype == "bool" else self.held(x, "int64"), False, False)[1]
        return self.const(x).value_id

    def _constant(self, value: int) -> int:
        # A value computed under no_grad, used later: a leaf that takes no gradient.
        entry = ("constant", value)
        found = self._follow(entry)
        if found is None:
            made = self._program.graph.record(get("detach"), (value,), {})[0]
            found = self._append(entry, made, False, True)
        return found[1]  # type: ignore[return-value]

    def require(self, ref: Any) -> SessionRef:
        """The reference itself if it is this session's and of the current step. Raises: NodeError."""
        if not isinstance(ref, SessionRef):
            raise NodeError(f"a reference of this session is expected, got {type(ref).__name__}")
        if ref.ops is not self:
            raise NodeError("a reference belongs to another session or tape")
        if ref.generation != self.generation:
            raise NodeError("a reference is from before reset_tape")
        return ref

    def reset_tape(self) -> None:
        """Forget every node; references made before raise NodeError from now on. Parameters and plans stay."""
        self.generation += 1
        self._start()

    def spec_of(self, i: int) -> tuple[tuple[int, ...], str]:
        """(shape, dtype) of node i."""
        spec = self._program.graph.specs[self._program.values[i]]
        return spec.shape, spec.dtype

    # Running ----------------------------------------------------------------------------------------------------------------

    def _run(self, key: Any, build: Any, extra: Sequence[AnyTensor] = ()) -> list[Any]:
        plans = self._program.plans
        if key not in plans:
            plans[key] = build()
        plan = plans[key]
        used = len(plan.graph.inputs) - len(extra)
        # A step that stopped early has fewer inputs than its program; what is missing is not read.
        tensors: list[Any] = [*self._tensors[:used], *[None] * (used - len(self._tensors)), *extra]
        before = cap_threads(self.options.num_threads or 0) if self.options.num_threads else None
        try:
            return plan.run(tensors)
        finally:
            if before is not None:
                cap_threads(before)

    def _fresh(self) -> Graph:
        # A copy of the program's graph that rules may be appended to.
        program = self._program
        graph = Graph(self.dtype, merge=False)
        graph.specs, graph.nodes = list(program.graph.specs), list(program.graph.nodes)
        graph.inputs, graph.constants = list(program.graph.inputs), dict(program.graph.constants)
        return graph

    def _compute(self, value_id: int) -> AnyTensor:
        if value_id not in self._computed:
            position = next((k for k, v in enumerate(self._program.graph.inputs) if v == value_id), None)
            if position is not None:
                return self.array(self._tensors[position])

            def build() -> Executable:
                graph = self._fresh()
                graph.outputs = [value_id]
                return Executable(graph, target=self._target)

            if self.options.check_numerics:
                self._look_for_nonfinite()
            if value_id not in self._computed:
                self._computed[value_id] = self._run(("value", value_id), build)[0]
        return self._computed[value_id]

    def _look_for_nonfinite(self) -> None:
        # Every value of the step so far, in the order of the calls.
        import numpy as np

        program = self._program
        made_by = {n.outputs[0]: n for n in program.graph.nodes}
        values = [v for _, v in program.made[: self._cursor] if v in made_by and program.graph.specs[v].dtype.startswith("float")]  # type: ignore[index]

        def build() -> Executable:
            graph = self._fresh()
            graph.outputs = list(values)
            return Executable(graph, target=self._target)

        if not values:
            return
        for v, tensor in zip(values, self._run(("numerics", self._cursor), build), strict=True):
            self._computed[v] = tensor
            wrong = np.argwhere(~np.isfinite(tensor.numpy().ravel()))
            if len(wrong):
                node = made_by[v]
                at, where = int(wrong[0, 0]), {value: i for i, value in enumerate(program.values)}
                kind = "a NaN" if np.isnan(tensor.numpy().ravel()[at]) else "an infinity"
                parents = tuple(where.get(i, -1) for i in node.inputs)  # type: ignore[arg-type]
                raise NumericsError(
                    f"{node.record.name}: node {where.get(v, 'under no_grad')} is the first with {kind} "
                    f"(element {at} of shape {tensor.shape}), its parents are {parents}"
                )

    def get_value(self, ref: Any) -> AnyTensor:
        """The value of a reference, as an AnyTensor."""
        ref = self.require(ref)
        if self._pending is not None and ref.value_id == self._pending.out.value_id:
            # The loss of a backward pass that is under way comes out of the same run.
            self._pending.params()
        return self._compute(ref.value_id)

    # Gradients and steps ----------------------------------------------------------------------------------------------------

    def _backward(self, out: SessionRef, seed: AnyTensor, params_only: bool) -> LazyGradients:
        if self.options.check_numerics:
            self._look_for_nonfinite()
        self._pending = LazyGradients(self, out, seed)
        return self._pending

    def _wrt(self, graph: Graph, ids: Sequence[int]) -> list[GraphRef]:
        return [GraphRef(graph, self._program.values[i]) for i in ids]

    def optim_step(self, opt: Any, grads: Any) -> None:
        """One step of an optimiser for the parameters used on the tape; part of the step's plan when nobody has read the gradients."""
        if not self._step(opt, grads):
            super().optim_step(opt, self._apart(grads))

    def _apart(self, grads: Any) -> Any:
        # Gradients by parameter, for an update in place: the parameters move to memory of their own, as what this tape has read stays.
        found = self._by_param(grads)
        for p in found:
            p._tensor = as_tensor(p._tensor.numpy())
        return found

    def _step(self, update: Any, grads: Any) -> bool:
        if not isinstance(grads, LazyGradients) or grads.read or grads.generation != self.generation:
            return False
        once = [p for p, _ in self._uses.values()]
        if len(set(map(id, once))) != len(once):
            return False
        self._check_backward(grads.out, grads.seed)
        kernels: dict[int, str] = {}
        for i, (p, _) in self._uses.items():
            kernel = update.kernel(p) if self._program.flows[i] and p.requires_grad is not False else None
            if kernel is not None:
                kernels[i] = kernel
        plan_key = ("step", grads.out.value_id, tuple(kernels.items()))
        moved, build = self._step_plan(plan_key, kernels, update, grads.out)
        params = [self._uses[i][0] for i in moved]
        extra: list[AnyTensor] = [grads.seed]
        for i, p in zip(moved, params, strict=True):
            states, hyper = self._states(update, p, kernels[i])
            extra += [*states, as_tensor(hyper, "float64")]
        made = self._run(plan_key, build, extra)
        self._computed[grads.out.value_id] = made[0]
        self._pending = None
        # New values in memory of their own: what this tape has read stays as it was, so its values can still be computed.
        for p, value in zip(params, made[1:], strict=True):
            self._move(p, value)
        update.taken(params)
        return True

    def _states(self, update: Any, p: Param, kernel: str) -> tuple[Sequence[Any], tuple[float, ...]]:
        # The optimiser's states of a parameter, which the plan writes to, and its numbers.
        return update.peek(p, kernel)

    def _move(self, p: Param, value: Any) -> None:
        # The parameter's new value, in memory of its own.
        p._tensor = value

    def _step_plan(self, key: Any, kernels: dict[int, str], update: Any, out: SessionRef) -> tuple[list[int], Any]:
        known = self._program.plans.get(("moved", key))
        if known is not None:
            return known, None
        graph = self._fresh()
        seed = graph.arg(Spec(out.shape, out.dtype))
        found = reverse(graph, [(GraphRef(graph, out.value_id), seed)], self._wrt(graph, list(kernels)))  # type: ignore[list-item]
        grads = {i: g for i, g in zip(kernels, found, strict=True) if g is not None}
        updated = []
        for i, g in grads.items():
            p = GraphRef(graph, self._program.values[i])
            before = [graph.arg(p.spec) for _ in range(len(get(kernels[i]).outputs) - 1)]
            hyper = graph.arg(Spec((len(update.hyper(self._uses[i][0], 1)),), "float64"))
            step = graph.apply(kernels[i], (p, g, *before, hyper), {})
            after = step if isinstance(step, tuple) else (step,)
            updated.append(after[0].id)
            graph.states += [(f"node {i} state {k}", b.id, a.id) for k, (b, a) in enumerate(zip(before, after[1:], strict=True))]  # type: ignore[union-attr]
        graph.outputs = [out.value_id, *updated]
        self._program.plans["moved", key] = list(grads)
        return list(grads), lambda: Executable(graph, target=self._target)

    def __repr__(self) -> str:
        return f"<Session: compiled on {self.options.device}, {self.dtype}, {len(self._program.values)} nodes, {len(self._known)} programs>"


class LazyGradients(Gradients):
    """Gradients that are computed when they are read: those of the parameters together, the others one by one."""

    __slots__ = ("_parameters", "out", "read", "seed")

    def __init__(self, session: CompiledSession, out: SessionRef, seed: AnyTensor) -> None:
        super().__init__([None] * len(session._program.values), session)
        self.out = out
        self.seed = seed
        #: Whether anything was computed yet.
        self.read = False
        self._parameters: dict[int, AnyTensor | None] | None = None

    def params(self) -> dict[int, AnyTensor | None]:
        """The gradients of the leaves that parameters are used as, by node id."""
        s = self._session
        if s.generation != self.generation:
            raise NodeError("these gradients are from before reset_tape")
        if self._parameters is None:
            self.read = True
            leaves = tuple(i for i in s._uses if s._program.flows[i])
            made = s._run(("grads", self.out.value_id, leaves), lambda: self._build(leaves, True), [self.seed])
            s._computed[self.out.value_id] = made[0]
            self._parameters = dict(zip(leaves, made[1:], strict=True))
        return self._parameters

    def _build(self, ids: Sequence[int], with_value: bool) -> Executable:
        s = self._session
        graph = s._fresh()
        seed = graph.arg(Spec(self.out.shape, self.out.dtype))
        found = reverse(graph, [(GraphRef(graph, self.out.value_id), seed)], s._wrt(graph, ids))
        graph.outputs = [*([self.out.value_id] if with_value else []), *(None if g is None else g.id for g in found)]
        return Executable(graph, target=s._target)

    def reached(self, i: int) -> AnyTensor | None:
        """The gradient of node i, or None if nothing arrived there."""
        s = self._session
        if s.generation != self.generation:
            raise NodeError("these gradients are from before reset_tape")
        if i == self.out.id:
            return self.seed
        if i in s._uses and s._program.flows[i]:
            return self.params()[i]
        if not s._program.flows[i]:
            return None
        if self._found[i] is None:
            self.read = True
            self._found[i] = s._run(("grad", self.out.value_id, i), lambda: self._build((i,), False), [self.seed])[0]
        return self._found[i]
