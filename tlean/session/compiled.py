"""The compiled session: records a step's leaves and ops, runs them as plans, and replays a program that comes again.

The session follows the ops as they are called. As long as they match a program that it has seen, nothing is recorded: references come from
the known calls. The work is done when something is read: the plan for that reading (a value, the gradients, a whole optimiser step) is made
once per program and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Unpack

import numpy as np

from tlean import arguments
from tlean._core.array import AnyTensor, as_tensor
from tlean._core.eager.eager import body_among, recording, run_plan
from tlean._core.eager.instance import not_a_key, options_key
from tlean._core.plan.calls import Call, CallsCore, SessionRef
from tlean._core.refs import RefBase, no_references, node_id
from tlean._generated.methods import OpsMethods
from tlean.compiler.cpu import CPU
from tlean.compiler.derive import reverse
from tlean.compiler.graph import Graph, GraphNode, GraphRef, argument_dtype, integers_of
from tlean.compiler.target import Target
from tlean.devices import context_at, target_of
from tlean.errors import DTypeError, NodeError, NumericsError, OptionError, ShapeError
from tlean.ops import OpDef, Spec, get
from tlean.optim.gradients import Gradients
from tlean.options import Changes, Options
from tlean.param import Param
from tlean.programs.executable import Executable, signed_seed
from tlean.programs.trace import Executables
from tlean.rng import op_seed

from .base import Session, options_of
from .calls import Calls, graph_to

#: Gradients of this many single nodes get their own plans; when more are read, one plan computes those of all nodes.
_ALONE = 4


class CompiledSession(Session, OpsMethods, CallsCore, runs=("compiled", "cpu")):
    """A session whose step runs as one plan."""

    stream_position: int

    #: What plans are made for.
    _target: Target = CPU

    def __init__(self, options: Options | None = None, **changes: Unpack[Changes]) -> None:
        self.options: Options = options_of(options, changes)
        CallsCore.__init__(self, Calls(), self.options.dtype)
        self.strict_shapes: bool = self.options.strict_shapes
        if self.options.device == "cpu":
            self._target = target_of("cpu", fast_kernels=self.options.fast_kernels)
        self.session_seed: int = self.options.first_seed()
        self.stream_position = 0

    # What follows the calls of a step is there in the core: these come before the ones that every session has.
    add_leaf: Callable[..., Any] = CallsCore.add_leaf
    apply: Callable[..., Any] = CallsCore.apply
    input: Callable[..., Any] = CallsCore.input
    reset_tape: Callable[..., None] = CallsCore.reset_tape
    use: Callable[..., Any] = CallsCore.use

    # Recording --------------------------------------------------------------------------------------------------------------

    def _append(self, entry: Any, specs: Sequence[Spec], node: GraphNode | None, flows: bool, kept: bool, *form: Any) -> Call:
        # A call that no step made here before.
        at = self._program.at
        call = Call(at, entry, tuple([s.resolved(self.dtype) for s in specs]), node, flows, kept, *form)
        at.hang(call)
        return call

    def _new_leaf(self, value: AnyTensor, flows: bool, kept: bool) -> Call:
        # A leaf that is not for sure the one of the step before.
        now = self._program
        entry = (value.shape, value.dtype, flows, kept)
        call = now.at.after(entry)
        if call is None:
            call = self._append(entry, [Spec(value.shape, value.dtype)], None, flows, kept)
        now.add(call, value)
        return call

    def _op(
        self, record: OpDef, arguments: Sequence[Call | None], options: dict[str, Any], name: str | None, kept: bool, op: Any = None
    ) -> Call:
        now = self._program
        at = now.at
        ids = tuple([None if a is None else a.value for a in arguments])
        entry = (record, ids, options_key(options), kept)
        try:
            call = at.after(entry)
        except (TypeError, ValueError):
            raise OptionError(f"{record.name}: {not_a_key(list(options.items()))}") from None
        if call is None:
            clean, specs = record.infer(tuple([None if a is None else a.spec for a in arguments]), options, self.dtype)
            made = tuple(range(at.values, at.values + len(specs)))
            flows = record.differentiable and any(a.flows for a in arguments if a is not None)
            call = self._append(entry, specs, GraphNode(record, ids, made, clean, name), flows, kept, op, options)
        now.add(call)
        return call

    def _any_leaf(self, value: Any, requires_grad: Any) -> SessionRef:
        # `add_leaf` of what is no array of the host, or no Boolean.
        if type(value) is not AnyTensor and context_at(value) is None:
            raise DTypeError(f"add_leaf: an array of the session's device is expected, got {type(value).__name__}; see leaf()")
        flows = arguments.flag("leaf", "requires_grad", requires_grad) and value.dtype.startswith("float")
        return self._ref_of(self._leaf(value, flows, recording()))

    def _named_leaf(self, value: Any, requires_grad: Any, name: Any, who: str = "leaf") -> SessionRef:
        # `leaf` and `input` with a name, or of what is no Boolean.
        flows = arguments.flag(who, "requires_grad", requires_grad)
        tensor = self.held(value, self.dtype)
        arguments.label("leaf", name)
        return self._any_leaf(tensor, flows)

    def held(self, value: Any, dtype: str | None = None) -> Any:
        """A value as an array that plans take. Raises: DTypeError, ShapeError."""
        return as_tensor(value, dtype)

    def _own_constant(self, value: Any) -> SessionRef:
        return self.add_leaf(self.held(value), False)

    def next_seed(self) -> int:
        """The seed of the next random op of the session's stream."""
        self.stream_position += 1
        return op_seed(self.session_seed, self.stream_position - 1)

    def _record(self, op: Any, inputs: Sequence[Any], options: dict[str, Any], name: str | None = None) -> Any:
        # A call of an op that is not for sure the one of the step before.
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
            return self._ref_of(self._op(record, given, options, name, recording(), op))
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
                plan = self._executable(call, "value", lambda: graph_to(self._program, call, [call.value]))
                computed[call] = self._run(call, plan)[0]
        return computed[call]

    def _look_for_nonfinite(self) -> None:
        # Every value of the step so far, in the order of the calls.
        now = self._program
        calls = now.calls[: now.at.number]
        made = [c for c in calls if c.node is not None and c.spec.dtype.startswith("float")]
        if not made:
            return
        plan = self._executable(now.at, "numerics", lambda: graph_to(now, now.at, [c.value for c in made]))
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

    def _compute_value(self, call: Call) -> AnyTensor:
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
        if not (isinstance(grads, LazyGradients) and self._step(opt, grads)):
            opt.apply(self._apart(grads))

    def _apart(self, grads: Any) -> Any:
        # Gradients by parameter, for an update in place: the parameters move to separate memory, as what this tape has read stays.
        found = self._by_param(grads)
        for p in found:
            p._tensor = as_tensor(p._tensor.numpy())
        return found

    def _step_plan(self, kernels: dict[int, str], update: Any, out: Call) -> Executable:
        key = ("step", tuple(kernels.items()))
        made = None if out.plans is None else out.plans.get(key)
        return made or self._executable(out, key, lambda: self._step_graph(kernels, update, out))

    def _step_graph(self, kernels: dict[int, str], update: Any, out: Call) -> Graph:
        # Its outputs: the value, and for each of these nodes the parameter's new value, or None where no gradient arrives.
        graph = graph_to(self._program, out, [out.value])
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
        self.out: Call = out
        self.seed: AnyTensor = seed
        #: Whether anything was computed yet.
        self.read: bool = False
        self._parameters: dict[int, AnyTensor | None] | None = None
        self._alone: dict[int, AnyTensor | None] = {}
        self._every: list[AnyTensor | None] | None = None

    def pending(self) -> bool:
        """Whether a step may take them into its plan: nothing was read, and the tape is the one that they are of."""
        return not self.read and self.generation == self._session.generation

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
            graph = graph_to(s._program, self.out, values)
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
