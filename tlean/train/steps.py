"""How a trainer's steps run: op by op on a session, or as one plan that holds forward, backward and the update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean.backends.compiled import GraphM
from tlean.backends.derive import reverse
from tlean.backends.eager import no_grad
from tlean.backends.executable import Executable, Stream
from tlean.backends.lower import target_of
from tlean.cuda.place import array_at, context_of
from tlean.errors import ShapeError
from tlean.ops import Spec
from tlean.options import Options
from tlean.param import Param
from tlean.session import Session

from .params import ParamList
from .update import Update, alone, slots


def _scalar(result: Any) -> tuple[Any, Any]:
    value, aux = result if isinstance(result, tuple) else (result, None)
    if tuple(value.shape) != ():
        raise ShapeError(f"ScalarTrainer: the loss is a scalar, got shape {tuple(value.shape)}")
    return value, aux


def clipped(ops: Any, grads: Sequence[Any], max_norm: float) -> tuple[list[Any], Any]:
    """Gradients times min(1, max_norm / (‖all of them‖₂ + 1e-6)), and the norm: on any backend.

    Source: Pascanu, Mikolov, Bengio 2013, algorithm 1; the 1e-6 is PyTorch's.
    """
    total = ops.sum(ops.square(grads[0]))
    for g in grads[1:]:
        total = ops.add(total, ops.sum(ops.square(g)))
    norm = ops.sqrt(total)
    factor = ops.clamp(ops.scale(ops.inv(ops.shift(norm, 1e-6)), max_norm), 0.0, 1.0)
    return [ops.mul(g, ops.broadcast_to(factor, g.shape)) for g in grads], norm


class EagerSteps:
    """Each op runs when the loss calls it; Python is entered once per op."""

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any]) -> None:
        self.session = Session(options.replace(backend="eager"))
        self.params = params
        self.loss = loss
        self._where = context_of(options.device)

    def array(self, x: Any, dtype: str) -> Any:
        """An input as the steps take it. Raises: DTypeError, ShapeError."""
        return array_at(x, dtype, self._where)

    @property
    def stream_state(self) -> tuple[int, int]:
        """(seed, position) of the random stream."""
        return self.session.session_seed, self.session.stream_position

    @stream_state.setter
    def stream_state(self, state: tuple[int, int]) -> None:
        self.session.session_seed, self.session.stream_position = state

    def _record(self, inputs: Sequence[AnyTensor]) -> tuple[Any, Any]:
        s = self.session
        s.reset_tape()
        refs = s.use_all(list(self.params))
        value, aux = _scalar(self.loss(s, *refs, *[s.add_leaf(x, False) for x in inputs]))
        return value, tree.map(lambda r: getattr(r, "value", r), aux)

    def forward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        """(loss, aux)."""
        with no_grad():
            value, aux = self._record(inputs)
            return value.value, aux

    def _grads(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any, dict[Any, AnyTensor]]:
        ref, aux = self._record(inputs)
        value = ref.value
        grads = self.session.backward_params(ref)
        # The tape goes before an update: its leaves hold the parameters' memory.
        self.session.reset_tape()
        return value, aux, grads

    def backward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any, list[AnyTensor | None]]:
        """(loss, aux, gradients)."""
        value, aux, grads = self._grads(inputs)
        return value, aux, [grads.get(p) for p in self.params]

    def step(self, update: Update, inputs: Sequence[AnyTensor], clip_norm: float | None) -> tuple[AnyTensor, Any]:
        """Backward, then the update: (loss, aux)."""
        value, aux, grads = self._grads(inputs)
        moved = {p: g for p, g in grads.items() if update.kernel(p)}
        if clip_norm is not None and moved:
            with no_grad():
                scaled, _ = clipped(self.session, [self.session.add_leaf(g, False) for g in moved.values()], clip_norm)
            moved = {p: g.value for p, g in zip(moved, scaled, strict=True)}
        update.apply(moved)
        return value, aux


class CompiledSteps:
    """The whole step is one plan, with the parameters and the optimiser's states as state slots; Python is entered once per step."""

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any]) -> None:
        self.options = options
        self.params = params
        self.loss = loss
        self.stream = Stream(options.seed)
        self._target: Any = target_of(options.device, options.fast_gpu_matmul_precision, options.deterministic, options.fast_kernels)
        self._made: dict[Any, tuple[Executable, Any, list[int]]] = {}
        # The `hyper` of the last step as arrays: rates mostly stay.
        self._vectors: dict[tuple[float, ...], AnyTensor] = {}

    def array(self, x: Any, dtype: str) -> Any:
        """An input as the steps take it; the plan copies what is not on its device. Raises: DTypeError, ShapeError."""
        return self._target.array(x, dtype)

    @property
    def stream_state(self) -> tuple[int, int]:
        """(seed, position) of the random stream."""
        return self.stream.seed, self.stream.position

    @stream_state.setter
    def stream_state(self, state: tuple[int, int]) -> None:
        self.stream.seed, self.stream.position = state

    def _plan(
        self, kind: str, inputs: Sequence[AnyTensor], update: Update | None = None, clip_norm: float | None = None
    ) -> tuple[Executable, Any, list[int]]:
        # The plan, the structure of aux, and which parameters are moved: those that have a gradient.
        kernels = tuple([(update.kernel(p) if update else "") if p.requires_grad else None for p in self.params])
        key = (kind, kernels, clip_norm, tuple([(t.shape, t.dtype) for t in inputs]))
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._build(kind, inputs, kernels, update, clip_norm)
        return found

    def _build(
        self, kind: str, inputs: Sequence[AnyTensor], kernels: Sequence[str | None], update: Update | None, clip_norm: float | None
    ) -> tuple[Executable, Any, list[int]]:
        # Arguments: parameters, inputs, then, for an update, the states and `hyper` of each parameter that it moves.
        graph = GraphM(self.options.dtype)
        specs = [Spec(p.shape, p.dtype) for p in self.params] + [Spec(t.shape, t.dtype) for t in inputs]
        refs = [graph.arg(k, s) for k, s in enumerate(specs)]
        params = refs[: len(self.params)]
        value, aux = _scalar(self.loss(graph, *refs))
        leaves, structure = tree.flatten(aux)
        outputs = [value, *map(graph.ref, leaves)]
        moved: list[int] = []
        if kind != "forward":
            wrt = [None if k is None else r for r, k in zip(params, kernels, strict=True)]
            grads = reverse(graph, [(value, graph._full(shape=(), value=1.0))], wrt)
            moved = [k for k, g in enumerate(grads) if g is not None]
            found = [grads[k] for k in moved]
            if update is None:
                outputs += found
            else:
                if clip_norm is not None and moved:
                    found, _ = clipped(graph, found, clip_norm)
                for k, g in zip(moved, found, strict=True):
                    self._update(graph, k, params[k], g, str(kernels[k]), len(update.hyper(self.params[k], 1)))
        graph.outputs = [r.id for r in outputs]
        return Executable(graph, graph.finish(), self._target), structure, moved

    def _update(self, graph: GraphM, k: int, p: Any, g: Any, kernel: str, length: int) -> None:
        # Parameter k's update op, with the parameter and its states as state slots.
        before = [p, *(graph.arg(len(graph._arguments), p.spec) for _ in range(slots(kernel)))]
        hyper = graph.arg(len(graph._arguments), Spec((length,), "float64"))
        step = graph.apply(kernel, (p, g, *before[1:], hyper), {})
        after = step if isinstance(step, tuple) else (step,)
        names = [f"param {k}", *(f"state {j} of {k}" for j in range(1, len(after)))]
        graph.states += [(n, b.id, a.id) for n, b, a in zip(names, before, after, strict=True)]

    def _tensors(self, inputs: Sequence[AnyTensor]) -> list[AnyTensor]:
        return [*(p._tensor for p in self.params), *inputs]

    def forward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        """(loss, aux)."""
        plan, structure, _ = self._plan("forward", inputs)
        made = plan(self._tensors(inputs), self.stream)
        return made[0], tree.unflatten(structure, made[1:])  # type: ignore[return-value]

    def backward(self, inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any, list[AnyTensor | None]]:
        """(loss, aux, gradients)."""
        plan, structure, moved = self._plan("backward", inputs)
        made = plan(self._tensors(inputs), self.stream)
        split = len(made) - len(moved)
        grads = dict(zip(moved, made[split:], strict=True))
        return made[0], tree.unflatten(structure, made[1:split]), [grads.get(k) for k in range(len(self.params))]  # type: ignore[return-value]

    def step(self, update: Update, inputs: Sequence[AnyTensor], clip_norm: float | None) -> tuple[AnyTensor, Any]:
        """The whole step in one plan: (loss, aux)."""
        plan, structure, which = self._plan("step", inputs, update, clip_norm)
        moved = [self.params[k] for k in which]
        extra = self._states(update, moved)
        made = plan([*self._tensors(inputs), *extra], self.stream)
        self._moved(moved)
        update.taken(moved)
        return made[0], None if structure is None else tree.unflatten(structure, made[1:])  # type: ignore[return-value]

    def _states(self, update: Update, moved: Sequence[Param]) -> list[Any]:
        # The states and `hyper` of each parameter, whose memory and theirs the plan may write to.
        extra: list[AnyTensor] = []
        vectors: dict[tuple[float, ...], AnyTensor] = {}
        for p in moved:
            p._tensor = alone(p._tensor)
            states, hyper = update.peek(p, str(update.kernel(p)))
            vector = vectors.get(hyper)
            if vector is None:
                vector = self._vectors.get(hyper)
                vectors[hyper] = vector = as_tensor(hyper, "float64") if vector is None else vector
            extra += (*states, vector)
        self._vectors = vectors
        return extra

    def _moved(self, moved: Sequence[Param]) -> None:
        # The plan has written to these parameters.
        pass


class DeviceSteps(CompiledSteps):
    """The same on a device, where parameters and states stay: a step copies its inputs there, and nothing back until it is read."""

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any]) -> None:
        super().__init__(options, params, loss)
        self._where = self._target.where

    def _tensors(self, inputs: Sequence[Any]) -> list[Any]:
        return [*(p.on_device(self._where) for p in self.params), *inputs]

    def _states(self, update: Update, moved: Sequence[Param]) -> list[Any]:
        extra: list[Any] = []
        vectors: dict[tuple[float, ...], AnyTensor] = {}
        for p in moved:
            p.own_on_device(self._where)
            states, hyper = update.peek(p, str(update.kernel(p)), self._where)
            if states and not all(s.alone for s in states):
                states = update.state.moments[p] = tuple(s.owned() for s in states)
            if hyper not in vectors:
                vectors[hyper] = as_tensor(hyper, "float64")
            extra += [*states, vectors[hyper]]
        return extra

    def _moved(self, moved: Sequence[Param]) -> None:
        for p in moved:
            p.move(p.on_device(self._where))
