"""How a trainer's steps run: op by op on a session, or as one plan that holds forward, backward and the update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean.backends.compiled import Executable, GraphM, Stream
from tlean.backends.derive import reverse
from tlean.backends.eager import no_grad
from tlean.errors import ShapeError
from tlean.ops import Spec
from tlean.options import Options
from tlean.session import Session

from .params import ParamList
from .update import AdamState, apply_update


def _scalar(result: Any) -> tuple[Any, Any]:
    value, aux = result if isinstance(result, tuple) else (result, None)
    if tuple(value.shape) != ():
        raise ShapeError(f"ScalarTrainer: the loss is a scalar, got shape {tuple(value.shape)}")
    return value, aux


class EagerSteps:
    """Each op runs when the loss calls it; Python is entered once per op."""

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any]) -> None:
        self.session = Session(options)
        self.params = params
        self.loss = loss

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

    def sgd(self, hyper: tuple[float, ...], inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        """A step of gradient descent: (loss, aux)."""
        value, aux, grads = self._grads(inputs)
        apply_update("_sgd_step", [(p, g, (), hyper) for p, g in grads.items()])
        return value, aux

    def adam(self, state: AdamState, hyper: tuple[float, ...], inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        """A step of Adam: (loss, aux)."""
        value, aux, grads = self._grads(inputs)
        apply_update("_adam_step", [(p, g, *state.advance(p, hyper)) for p, g in grads.items()])
        return value, aux


class CompiledSteps:
    """The whole step is one plan, with the parameters and the optimiser's moments as state slots; Python is entered once per step."""

    def __init__(self, options: Options, params: ParamList, loss: Callable[..., Any]) -> None:
        self.options = options
        self.params = params
        self.loss = loss
        self.stream = Stream(options.seed)
        self._made: dict[Any, tuple[Executable, Any, list[int]]] = {}

    def _plan(self, kind: str, inputs: Sequence[AnyTensor]) -> tuple[Executable, Any, list[int]]:
        flags = tuple(bool(p.requires_grad) for p in self.params)
        key = (kind, flags, tuple((t.shape, t.dtype) for t in inputs))
        if key not in self._made:
            self._made[key] = self._build(kind, inputs)
        return self._made[key]

    def _build(self, kind: str, inputs: Sequence[AnyTensor]) -> tuple[Executable, Any, list[int]]:
        # Arguments: parameters, inputs, then first and second moments and `hyper` for an update.
        # `moved` are the parameters that have a gradient.
        graph = GraphM(self.options.dtype)
        specs = [Spec(p.shape, p.dtype) for p in self.params] + [Spec(t.shape, t.dtype) for t in inputs]
        refs = [graph.arg(k, s) for k, s in enumerate(specs)]
        params = refs[: len(self.params)]
        value, aux = _scalar(self.loss(graph, *refs))
        leaves, structure = tree.flatten(aux)
        outputs = [value, *map(graph.ref, leaves)]
        moved: list[int] = []
        if kind != "forward":
            wrt = [r if p.requires_grad else None for r, p in zip(params, self.params, strict=True)]
            grads = reverse(graph, [(value, graph._full(shape=(), value=1.0))], wrt)
            moved = [k for k, g in enumerate(grads) if g is not None]
            if kind == "backward":
                outputs += [grads[k] for k in moved]
            else:
                self._update(graph, kind, params, grads, moved)
        graph.outputs = [r.id for r in outputs]
        return Executable(graph, graph.finish()), structure, moved

    def _update(self, graph: GraphM, kind: str, params: Sequence[Any], grads: Sequence[Any], moved: Sequence[int]) -> None:
        count = len(graph._arguments)
        slots = 2 if kind == "adam" else 0
        states = [[graph.arg(count + slots * j + s, params[k].spec) for s in range(slots)] for j, k in enumerate(moved)]
        hyper = graph.arg(count + slots * len(moved), Spec((8,) if kind == "adam" else (3,), "float64"))
        for k, before in zip(moved, states, strict=True):
            names = [f"param {k}", f"moment 1 of {k}", f"moment 2 of {k}"]
            step = graph.apply(f"_{kind}_step", (params[k], grads[k], *before, hyper), {})
            after = step if isinstance(step, tuple) else (step,)
            graph.states += [(n, b.id, a.id) for n, b, a in zip(names, (params[k], *before), after, strict=False)]

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

    def sgd(self, hyper: tuple[float, ...], inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        """A step of gradient descent: (loss, aux)."""
        return self._step("sgd", inputs, [as_tensor(hyper, "float64")])

    def adam(self, state: AdamState, hyper: tuple[float, ...], inputs: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        """A step of Adam: (loss, aux)."""
        _, _, moved = self._plan("adam", inputs)
        extra: list[AnyTensor] = []
        vector = None
        for k in moved:
            moments, full = state.advance(self.params[k], hyper)
            extra += moments
            if vector is not None and vector != full:
                raise ShapeError("ScalarTrainer: parameters of one compiled step have taken the same number of steps")
            vector = full
        return self._step("adam", inputs, [*extra, as_tensor(vector if vector is not None else (*hyper, 1.0, 1.0), "float64")])

    def _step(self, kind: str, inputs: Sequence[AnyTensor], extra: Sequence[AnyTensor]) -> tuple[AnyTensor, Any]:
        plan, structure, moved = self._plan(kind, inputs)
        made = plan([*self._tensors(inputs), *extra], self.stream)
        for k in moved:
            self.params[k]._version += 1
        return made[0], tree.unflatten(structure, made[1:])  # type: ignore[return-value]
