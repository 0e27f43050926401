"""The compiled session: records a step's leaves and ops, runs them as plans, and replays a program that comes again.

The session follows the ops as they are called. As long as they match a program that it has seen, nothing is recorded: references come from
the known calls. The work is done when something is read: the plan for that reading (a value, the gradients, a whole optimiser step) is made
once per program and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tlean import arguments
from tlean._core.array import AnyTensor, as_tensor, named_dtype
from tlean._core.eager.eager import body_among, recording, run_plan
from tlean._core.eager.instance import not_a_key, options_key
from tlean._core.plan.commit import Commit
from tlean._core.refs import RefBase, ValueRef, no_references, node_id, shown
from tlean._generated.methods import OpsMethods
from tlean.compiler.cpu import CPU
from tlean.compiler.derive import reverse
from tlean.compiler.graph import Graph, GraphNode, GraphRef, argument_dtype, integers_of
from tlean.compiler.target import Target
from tlean.devices import context_at, target_of
from tlean.errors import DTypeError, NodeError, NumericsError, OptionError, ShapeError
from tlean.ops import OpDef, Spec, get
from tlean.optim.gradients import Gradients
from tlean.options import Options
from tlean.param import Param
from tlean.programs.executable import Executable, signed_seed
from tlean.programs.trace import Executables
from tlean.rng import op_seed

from .base import Session, options_of
from .calls import Call, Calls, Program

#: Gradients of this many single nodes get their own plans; when more are read, one plan computes those of all nodes.
_ALONE = 4


class SessionRef(ValueRef):
    """A value of a compiled session."""

    __slots__ = ("call", "generation", "ops")

    def __init__(self, ops: CompiledSession, call: Call) -> None:
        self.ops = ops
        self.call = call
        self.generation = ops._program.generation

    @property
    def id(self) -> int | None:
        """The node's id, or None for a value computed under `no_grad`."""
        return self.call.id

    @property
    def shape(self) -> tuple[int, ...]:
        return self.call.specs[0].shape

    @property
    def dtype(self) -> str:
        return named_dtype(self.call.specs[0].dtype)

    @property
    def requires_grad(self) -> bool:
        return self.call.flows

    def __repr__(self) -> str:
        # The value of a leaf, and of what has been read; the op of what is to be computed yet.
        where, node, now = "no_grad" if self.id is None else f"%{self.id}", self.call.node, self.ops._program
        if self.generation != now.generation or not (node is None or self.call in now.computed):
            return shown(where if node is None else f"{where} = {node.record.name}", None, self.shape, self.dtype)
        return shown(where, self.value, self.shape, self.dtype)


class CompiledSession(Session, OpsMethods, runs=("compiled", "cpu")):
    """A session whose step runs as one plan."""

    #: What plans are made for.
    _target: Target = CPU

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        self.options = options_of(options, changes)
        self.dtype = self.options.dtype
        self.strict_shapes = self.options.strict_shapes
        if self.options.device == "cpu":
            self._target = target_of("cpu", fast_kernels=self.options.fast_kernels)
        self.session_seed = self.options.first_seed()
        self.stream_position = 0
        self._calls = Calls()
        # All that belongs to a step: one assignment begins a new one.
        self._program = Program(self._calls.start, self.dtype, 0)

    @property
    def generation(self) -> int:  # type: ignore[override]
        """How many steps there were before this one."""
        return self._program.generation

    @property
    def _uses(self) -> dict[int, tuple[Param, int]]:  # type: ignore[override]
        return self._program.uses

    # Recording --------------------------------------------------------------------------------------------------------------

    def _append(self, entry: Any, specs: Sequence[Spec], node: GraphNode | None, flows: bool, kept: bool) -> Call:
        # A call that no step made here before.
        at = self._program.at
        call = at.next[entry] = Call(at, entry, tuple([s.resolved(self.dtype) for s in specs]), node, flows, kept)
        return call

    def _leaf(self, value: AnyTensor, flows: bool, kept: bool) -> Call:
        now = self._program
        entry = (value.shape, value.dtype, flows, kept)
        call = now.at.next.get(entry)
        if call is None:
            call = self._append(entry, [Spec(value.shape, value.dtype)], None, flows, kept)
        now.add(call, value)
        return call

    def _op(self, record: OpDef, arguments: Sequence[Call | None], options: dict[str, Any], name: str | None, kept: bool) -> Call:
        now = self._program
        at = now.at
        ids = tuple([None if a is None else a.value for a in arguments])
        entry = (record, ids, options_key(options), kept)
        try:
            call = at.next.get(entry)
        except (TypeError, ValueError):
            raise OptionError(f"{record.name}: {not_a_key(list(options.items()))}") from None
        if call is None:
            clean, specs = record.infer(tuple([None if a is None else a.spec for a in arguments]), options, self.dtype)
            made = tuple(range(at.values, at.values + len(specs)))
            flows = record.differentiable and any(a.flows for a in arguments if a is not None)
            call = self._append(entry, specs, GraphNode(record, ids, made, clean, name), flows, kept)
        now.add(call)
        return call

    def add_leaf(self, value: AnyTensor, requires_grad: bool = True, name: str | None = None) -> SessionRef:
        """A leaf that holds this array itself, of whatever dtype. Raises: DTypeError for what is no array of the session's device."""
        if type(value) is not AnyTensor and context_at(value) is None:
            raise DTypeError(f"add_leaf: an array of the session's device is expected, got {type(value).__name__}; see leaf()")
        flows = arguments.flag("leaf", "requires_grad", requires_grad) and value.dtype.startswith("float")
        return SessionRef(self, self._leaf(value, flows, recording()))

    def held(self, value: Any, dtype: str | None = None) -> Any:
        """A value as an array that plans take. Raises: DTypeError, ShapeError."""
        return as_tensor(value, dtype)

    def leaf(self, value: Any, requires_grad: bool = True, name: str | None = None) -> SessionRef:
        """A leaf with this value (copied, cast to the session's dtype)."""
        return self.add_leaf(self.held(value, self.dtype), requires_grad, arguments.label("leaf", name))

    def input(self, x: Any, name: str | None = None, requires_grad: bool | None = None) -> SessionRef:
        """A leaf with this value (copied, cast to the session's dtype)."""
        flows = self.options.requires_grad_by_default if requires_grad is None else requires_grad
        return self.leaf(x, arguments.flag("input", "requires_grad", flows), name)

    def const(self, value: Any, name: str | None = None) -> SessionRef:
        """A leaf that takes no gradient."""
        return self.leaf(value, False, name)

    def _own_constant(self, value: Any) -> SessionRef:
        return self.add_leaf(self.held(value), False)

    def next_seed(self) -> int:
        """The seed of the next random op of the session's stream."""
        self.stream_position += 1
        return op_seed(self.session_seed, self.stream_position - 1)

    def apply(self, op: Any, inputs: Sequence[Any], options: dict[str, Any], name: str | None = None) -> Any:
        """Record one op."""
        record = get(op)
        if name is not None:
            arguments.label(record.name, name)
        inside = body_among(self, inputs)
        if inside is not None:
            return inside.apply(op, inputs, options, name)
        if len(record.outputs) > 1 and record.loop is not None:
            return record.loop.on_tape(self, record, tuple(inputs))
        if len(record.outputs) > 1:
            raise OptionError(f"{record.name}: an op with several outputs has no place on a tape")
        now, position = self._program, self.stream_position
        at = now.at
        try:
            inputs = integers_of(record, inputs, lambda x: self.add_leaf(x, False))
            names = record.input_names(len(inputs))
            given = [self._argument(record, n, x) for n, x in zip(names, inputs, strict=True)]
            if self._program is not now:
                raise NodeError(f"{record.name}: the tape was reset while the op's arguments were read")
            if self.strict_shapes:
                record.require_equal_shapes([None if a is None else a.spec for a in given])
            return SessionRef(self, self._op(record, given, options, name, recording()))
        except BaseException:
            # The step is as before the op.
            now.at, self.stream_position = at, position
            self._calls.forget(now.calls, at.number)
            raise

    def _argument(self, record: OpDef, name: str, x: Any) -> Call | None:
        if x is None and record.random and name == "seed":
            x = as_tensor(signed_seed(self.next_seed()), "int64")
        if x is None:
            return None
        if isinstance(x, SessionRef):
            call = self.require(x).call
            # A value computed under no_grad, used later: a leaf that takes no gradient.
            return self._op(get("detach"), (call,), {}, None, True) if call.id is None and recording() else call
        if isinstance(x, RefBase):
            raise NodeError(f"{record.name}: a reference belongs to another session or backend")
        if name in record.integer and hasattr(x, "__tlean_value__"):
            x = x.__tlean_value__(self)
        if isinstance(x, list | tuple):
            no_references(f"{record.name}: {name}", x)
        try:
            tensor = self.held(x, argument_dtype(record, name, x, self.dtype))
        except (DTypeError, ShapeError) as error:
            raise type(error)(f"{record.name}: {name}: {error}") from None
        except OverflowError:
            raise DTypeError(f"{record.name}: {name} does not fit 64 bits") from None
        return self._leaf(tensor, False, name not in record.integer and recording())

    def require(self, ref: Any) -> SessionRef:
        """The reference itself if it is this session's and of the current step. Raises: NodeError."""
        if not isinstance(ref, SessionRef):
            raise NodeError(f"a reference of this session is expected, got {type(ref).__name__}")
        if ref.ops is not self:
            raise NodeError("a reference belongs to another session or tape")
        if ref.generation != self._program.generation:
            raise NodeError("a reference is from before reset_tape")
        return ref

    def reset_tape(self) -> None:
        """Forget every node; references made before raise NodeError from now on. Parameters and plans stay."""
        before = self._program
        self._calls.keep(before)
        self._program = Program(self._calls.start, self.dtype, before.generation + 1)

    def spec_of(self, i: int) -> tuple[tuple[int, ...], str]:
        """(shape, dtype) of node i."""
        now, i = self._program, node_id("spec_of", i)
        if not 0 <= i < now.at.nodes:
            raise NodeError(f"there is no node {i} on this tape of {now.at.nodes} nodes")
        spec = now.nodes[i].spec
        return spec.shape, spec.dtype

    # Running ----------------------------------------------------------------------------------------------------------------

    def _executable(self, to: Call, key: Any, derive: Callable[[], Graph]) -> Executable:
        # What is compiled of the calls up to this one: kept with it.
        if to.plans is None:
            to.plans = Executables(self._target)
        return to.plans.executable(key, derive)

    def _run(self, to: Call, plan: Executable, extra: Sequence[AnyTensor] = ()) -> list[Any]:
        tensors = [*self._program.tensors[: to.inputs], *extra]
        return run_plan(self._target.run, plan.plan, tensors, plan.out_specs, self.options.num_threads or 0)

    def _compute(self, call: Call) -> AnyTensor:
        computed = self._program.computed
        if call not in computed:
            if call.node is None:
                return self.array(self._program.tensors[call.inputs - 1])
            if self.options.check_numerics:
                self._look_for_nonfinite()
            if call not in computed:
                plan = self._executable(call, "value", lambda: self._program.graph_to(call, [call.value]))
                computed[call] = self._run(call, plan)[0]
        return computed[call]

    def _look_for_nonfinite(self) -> None:
        # Every value of the step so far, in the order of the calls.
        now = self._program
        calls = now.calls[: now.at.number]
        made = [c for c in calls if c.node is not None and c.spec.dtype.startswith("float")]
        if not made:
            return
        plan = self._executable(now.at, "numerics", lambda: now.graph_to(now.at, [c.value for c in made]))
        for call, tensor in zip(made, self._run(now.at, plan), strict=True):
            now.computed[call] = tensor
            values = tensor.numpy().ravel()
            wrong = np.argwhere(~np.isfinite(values))
            if len(wrong):
                at, ids = int(wrong[0, 0]), {c.value: c.id for c in calls if c.id is not None}
                node: Any = call.node
                raise NumericsError(
                    f"{node.record.name}: node {'under no_grad' if call.id is None else call.id} is the first with "
                    f"{'a NaN' if np.isnan(values[at]) else 'an infinity'} "
                    f"(element {at} of shape {tensor.shape}), its parents are {tuple(ids.get(i, -1) for i in node.inputs)}"
                )

    def get_value(self, ref: Any) -> AnyTensor:
        """The value of a reference, as an AnyTensor."""
        call = self.require(ref).call
        pending = self._program.pending
        if pending is not None and call is pending.out:
            # The loss of a backward pass that is under way comes out of the same run.
            pending.params()
        return self._compute(call)

    # Gradients and steps ----------------------------------------------------------------------------------------------------

    def _backward(self, out: SessionRef, seed: AnyTensor, params_only: bool) -> LazyGradients:
        if self.options.check_numerics:
            self._look_for_nonfinite()
        self._program.pending = made = LazyGradients(self, out.call, seed)
        return made

    def _reverse(self, graph: Graph, out: Call, ids: Sequence[int]) -> list[Any]:
        # The gradients of nodes, appended to the graph; the cotangent of `out` is its next input.
        seed: Any = graph.arg(out.spec)
        wrt = [GraphRef(graph, self._program.nodes[i].value) for i in ids]
        return reverse(graph, [(GraphRef(graph, out.value), seed)], wrt)

    def optim_step(self, opt: Any, grads: Any) -> None:
        """One step of an optimiser for the parameters used on the tape; part of the step's plan unless the gradients have been read."""
        self._check_step(opt, grads)
        if not self._step(opt, grads):
            opt.apply(self._apart(grads))

    def _apart(self, grads: Any) -> Any:
        # Gradients by parameter, for an update in place: the parameters move to separate memory, as what this tape has read stays.
        found = self._by_param(grads)
        for p in found:
            p._tensor = as_tensor(p._tensor.numpy())
        return found

    def _step(self, update: Any, grads: Any) -> bool:
        # The step as one plan, or False where the gradients are known already, or where they are not of the parameters' values now.
        if not isinstance(grads, LazyGradients) or grads.read or grads.generation != self.generation:
            return False
        out, nodes = grads.out, self._program.nodes
        used = {i: p for i, p, version in grads.leaves() if p._version == version}
        if len(set(map(id, used.values()))) != len(grads.leaves()):
            return False
        kernels: dict[int, str] = {}
        for i, p in used.items():
            kernel = update.kernel(p) if nodes[i].flows and p.requires_grad is not False else None
            if kernel is not None:
                kernels[i] = kernel
        plan = self._executable(out, ("step", tuple(kernels.items())), lambda: self._step_graph(kernels, update, out))
        moved: dict[Param, int] = {}
        extra: list[AnyTensor] = [grads.seed]
        for number, (i, value) in enumerate(zip(kernels, plan.graph.outputs[1:], strict=True), start=1):
            if value is not None:
                p = used[i]
                moved[p] = number
                states, hyper = self._states(update, p, kernels[i])
                extra += [*states, as_tensor(hyper, "float64")]
        made = self._take(update, moved, plan, [*self._program.tensors[: out.inputs], *extra])
        self._program.computed[out] = made[0]
        self._program.pending = None
        return True

    def _states(self, update: Any, p: Param, kernel: str) -> tuple[Sequence[Any], tuple[float, ...]]:
        # The optimiser's states of a parameter, which the plan writes to, and its numbers.
        return update.peek(p, kernel)

    def _take(self, update: Any, moved: Mapping[Param, int], plan: Executable, tensors: Sequence[Any]) -> list[Any]:
        # The plan writes to the states. The parameters' new values, outputs with these numbers, have separate memory: what this tape has
        # read stays as it was, so its values can still be computed. Nothing comes between the run, the new values and the count.
        changes = Commit()
        for p, number in moved.items():
            self._place(changes, p, number)
        changes.count(list(moved), update.state.steps)
        return run_plan(self._target.run, plan.plan, tensors, plan.out_specs, self.options.num_threads or 0, changes)

    def _place(self, changes: Commit, p: Param, number: int) -> None:
        # The parameter's new value is output `number` of the plan.
        changes.output(p, "_tensor", number)

    def _step_graph(self, kernels: dict[int, str], update: Any, out: Call) -> Graph:
        # Its outputs: the value, and for each of these nodes the parameter's new value, or None where no gradient arrives.
        graph = self._program.graph_to(out, [out.value])
        for i, g in zip(kernels, self._reverse(graph, out, list(kernels)), strict=True):
            if g is None:
                graph.outputs.append(None)
                continue
            p = GraphRef(graph, self._program.nodes[i].value)
            before = [graph.arg(p.spec) for _ in range(len(get(kernels[i]).outputs) - 1)]
            hyper = graph.arg(Spec((len(update.hyper(self._uses[i][0], 1)),), "float64"))
            step = graph.apply(kernels[i], (p, g, *before, hyper), {})
            after = step if isinstance(step, tuple) else (step,)
            graph.outputs.append(after[0].id)
            pairs: list[Any] = list(zip(before, after[1:], strict=True))
            graph.states += [(f"node {i} state {k}", b.id, a.id) for k, (b, a) in enumerate(pairs)]
        return graph

    def __repr__(self) -> str:
        size = f"{self._program.at.nodes} nodes, {len(self._calls.programs)} programs"
        return f"<Session: compiled on {self.options.device}, {self.dtype}, {size}>"


class LazyGradients(Gradients):
    """Gradients that are computed when they are read: those of the parameters together, a few others one by one, more of them at once."""

    __slots__ = ("_alone", "_every", "_parameters", "out", "read", "seed")

    def __init__(self, session: CompiledSession, out: Call, seed: AnyTensor) -> None:
        super().__init__([None] * session._program.at.nodes, session)
        self.out = out
        self.seed = seed
        #: Whether anything was computed yet.
        self.read = False
        self._parameters: dict[int, AnyTensor | None] | None = None
        self._alone: dict[int, AnyTensor | None] = {}
        self._every: list[AnyTensor | None] | None = None

    def leaves(self) -> list[tuple[int, Param, int]]:
        """The uses of parameters that the output can depend on: node id, parameter, and its version then."""
        last: Any = self.out.id
        return [(i, p, version) for i, (p, version) in self._session._uses.items() if i <= last]

    def params(self) -> dict[int, AnyTensor | None]:
        """The gradients of the leaves that parameters are used as, by node id."""
        if self._parameters is None:
            self.check_tape()
            s, out = self._session, self.out
            ids = tuple([i for i, _, _ in self.leaves() if s._program.nodes[i].flows])
            s._program.computed[out], *gradients = self._run(("params", ids), ids, [out.value])
            self._parameters = dict(zip(ids, gradients, strict=True))
        return self._parameters

    def _run(self, key: Any, ids: Sequence[int], values: Sequence[int] = ()) -> list[Any]:
        # Values of the program, then the gradients of nodes.
        s = self._session

        def derive() -> Graph:
            graph = s._program.graph_to(self.out, values)
            graph.outputs += [None if g is None else g.id for g in s._reverse(graph, self.out, ids)]
            return graph

        made = s._run(self.out, s._executable(self.out, key, derive), [self.seed])
        self.read = True
        return made

    def _entries_of(self, ids: Iterable[int]) -> list[AnyTensor | None]:
        """The gradients of some nodes, None where nothing arrived and for nodes newer than the pass."""
        return [self.reached(i) if i < len(self) else None for i in ids]

    def every(self) -> list[AnyTensor | None]:
        """The gradients of all nodes, None where nothing arrived, by one plan."""
        if self._every is None:
            self.check_tape()
            s, out = self._session, self.out
            last: Any = out.id
            ids = [i for i in range(last) if s._program.nodes[i].flows]
            found = dict(zip(ids, self._run("every", ids), strict=True)) | {last: self.seed}
            self._every = [found.get(i) for i in range(len(self))]
        return self._every

    def reached(self, i: int) -> AnyTensor | None:
        """The gradient of node i, or None if nothing arrived there.

        Raises: NodeError if the tape was reset and the gradient was not computed before, or if the node is newer than the gradients.
        """
        i = self.check_node(i)
        s, out = self._session, self.out
        last: Any = out.id
        if i == last:
            return self.seed
        if i > last:
            return None
        if self._every is not None:
            return self._every[i]
        if self._parameters is not None and i in self._parameters:
            return self._parameters[i]
        if i in self._alone:
            return self._alone[i]
        self.check_tape()
        if not s._program.nodes[i].flows:
            return None
        if i in s._uses:
            return self.params()[i]
        plans = out.plans or ()
        if ("grad", i) not in plans and sum(key[0] == "grad" for key in plans) >= _ALONE:
            return self.every()[i]
        self._alone[i] = self._run(("grad", i), (i,))[0]
        return self._alone[i]
