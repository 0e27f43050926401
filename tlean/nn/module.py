"""`Module`: parameters and a function over `Ops`; `Bound`: a backend together with values for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor, as_tensor
from tlean.backends.eager import no_grad
from tlean.errors import DTypeError, NodeError, OptionError, ShapeError
from tlean.param import Param
from tlean.rng import Rng
from tlean.session import Session

from .init import Initialiser

# Where layers that are made without further ado draw their first values from.
_stream = Rng(0)


def seed(number: int) -> None:
    """Start the stream of first values anew: the same layers made after it get the same values."""
    global _stream
    _stream = Rng(number)


class Buffer(Param):
    """A value that a layer keeps and no optimiser moves, such as a running mean."""

    __slots__ = ()

    def __init__(self, value: Any, name: str | None = None, *, dtype: str | None = None) -> None:
        super().__init__(value, name, False, dtype=dtype)


class Bound:
    """A backend that takes a layer's own parameters as arguments of its ops: what `Module.forward` computes on.

    Every op of the backend is here. An argument that is a `Param` stands for its value in this program: the reference it was bound to, or,
    on a session, the leaf that `session.use` makes.
    """

    def __init__(self, ops: Any, refs: dict[Param, Any], training: bool | None = None) -> None:
        self.ops = ops
        self.refs = refs
        #: None: each layer in the mode it has; else the mode of all.
        self.forced_mode = training
        #: New values of buffers, as references.
        self.updates: dict[Buffer, Any] = {}
        #: Called as `watch(module, call, inputs)` in place of `call()` where somebody looks on.
        self.watch: Callable[..., Any] | None = None

    def __getattr__(self, name: str) -> Any:
        op = getattr(self.ops, name)
        if not callable(op):
            return op

        def call(*args: Any, **options: Any) -> Any:
            return op(*map(self._resolved, args), **{k: self._resolved(v) for k, v in options.items()})

        self.__dict__[name] = call
        return call

    def _resolved(self, argument: Any) -> Any:
        if isinstance(argument, Param):
            return self.value(argument)
        if isinstance(argument, list | tuple) and any(isinstance(a, Param) for a in argument):
            return [self._resolved(a) for a in argument]
        return argument

    def value(self, p: Param) -> Any:
        """The reference that a parameter or buffer stands for. Raises: NodeError if it is unbound and the backend cannot read it."""
        if p not in self.refs:
            if isinstance(p, Buffer):
                # Not `use`: buffers change within the step, and a tape refuses a parameter that changed since it was read.
                self.refs[p] = self.ops.const(p.get())
            elif hasattr(self.ops, "use"):
                self.refs[p] = self.ops.use(p)
            else:
                raise NodeError(f"{p!r} has no value in this program: call the model with bind or apply")
        return self.refs[p]

    def training(self, module: Module) -> bool:
        """Whether a layer is to behave as in training."""
        return module.training if self.forced_mode is None else self.forced_mode

    def update(self, buffer: Buffer, new: Any) -> None:
        """Give a buffer a new value: what reads it later in this program sees it, and `updates` holds it."""
        self.refs[buffer] = self.updates[buffer] = new


class Module:
    """A layer or a model: parameters, buffers and other layers as attributes, and `forward(ops, *inputs)`, a program over `Ops`.

        class Net(tl.nn.Module):
            def __init__(self):
                self.hidden = tl.nn.Linear(784, 128)
                self.scores = tl.nn.Linear(128, 10)

            def forward(self, ops, x):
                return self.scores(ops, ops.relu(self.hidden(ops, x)))

    A model is called in one of three ways; each gives the same bits:

        y = model(session, session.input(x))                  # on a session: parameters are used, running statistics move
        y = model.apply(ops, refs, x)                         # in any program: refs are values for state(), or parameters(), or by name
        f = model.program("cross_entropy")                    # a loss for ScalarTrainer(options, model.state(), shapes, f)

    Lists and tuples of layers are walked too. A parameter that appears twice is one parameter (weight tying).
    """

    #: Whether the layer behaves as in training (dropout drops, batch normalisation uses the batch).
    training = True

    def forward(self, ops: Any, *inputs: Any) -> Any:
        """The output for these inputs, computed by `ops`."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(ops, *inputs)")

    # Parts ------------------------------------------------------------------------------------------------------------------

    def parameter(self, shape: Sequence[int], initialiser: Initialiser, buffer: bool = False) -> Param:
        """A new parameter (or buffer) whose first value this rule draws; `init` draws it anew."""
        kind = Buffer if buffer else Param
        p = kind(initialiser(_stream, tuple(shape), "float32"))
        self.__dict__.setdefault("_first_values", []).append((p, initialiser))
        return p

    def members(self) -> Iterator[tuple[str, Any]]:
        """(name, parameter, buffer or layer) of what this module holds itself, in the order it was set."""
        for name, value in vars(self).items():
            if isinstance(value, Param | Module):
                yield name, value
            elif isinstance(value, list | tuple) and name != "_first_values":
                yield from ((f"{name}.{k}", v) for k, v in enumerate(value) if isinstance(v, Param | Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(path, module) for this module and all inside it, each once."""
        seen: set[int] = set()

        def walk(path: str, module: Module) -> Iterator[tuple[str, Module]]:
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                for name, value in module.members():
                    if isinstance(value, Module):
                        yield from walk(f"{path}.{name}" if path else name, value)

        return walk(prefix, self)

    def _named(self, buffers: bool) -> dict[str, Param]:
        found: dict[str, Param] = {}
        seen: set[Param] = set()
        for path, module in self.named_modules():
            for name, value in module.members():
                if isinstance(value, Param) and isinstance(value, Buffer) == buffers and value not in seen:
                    seen.add(value)
                    found[f"{path}.{name}" if path else name] = value
        return found

    def named_parameters(self) -> dict[str, Param]:
        """The parameters by their paths, such as `"0.weight"`; a shared one under its first path alone."""
        return self._named(False)

    def named_buffers(self) -> dict[str, Buffer]:
        """The buffers by their paths."""
        return self._named(True)  # type: ignore[return-value]

    def parameters(self) -> list[Param]:
        """The parameters, each once."""
        return list(self.named_parameters().values())

    def buffers(self) -> list[Buffer]:
        """The buffers, each once."""
        return list(self.named_buffers().values())

    def named_state(self) -> dict[str, Param]:
        """Parameters, then buffers, by their paths."""
        return self.named_parameters() | self.named_buffers()

    def state(self) -> list[Param]:
        """Parameters, then buffers: what a trainer takes."""
        return list(self.named_state().values())

    def count(self, trainable: bool = False) -> int:
        """The number of elements of all parameters; with `trainable`, of those that are not frozen."""
        return sum(int(np.prod(p.shape)) for p in self.parameters() if not (trainable and p.requires_grad is False))

    # Values -----------------------------------------------------------------------------------------------------------------

    def init(self, seed: int, **rules: Initialiser) -> Any:
        """Draw every first value anew; returns the module.

        Args:
            seed: of a stream of its own: the same model and seed give the same values.
            rules: initialisers by the last part of a parameter's name (`weight=kaiming_normal()`), in place of the layers' own.

        Raises: OptionError if a rule fits no parameter.
        """
        names = {id(p): name.rpartition(".")[2] for name, p in self.named_state().items()}
        unknown = rules.keys() - set(names.values())
        if unknown:
            raise OptionError(
                f"init: no parameter is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(set(names.values())))}"
            )
        rng = Rng(seed)
        for _, module in self.named_modules():
            for p, own in vars(module).get("_first_values", ()):
                # A layer may have had its parameter replaced by a shared one: what is no longer there draws nothing.
                if id(p) in names:
                    p.set(rules.get(names.pop(id(p)), own)(rng, p.shape, p.dtype))
        return self

    def to(self, dtype: str) -> Any:
        """Keep all values in this dtype, "float32" or "float64", from now on; returns the module."""
        if dtype not in ("float32", "float64"):
            raise DTypeError(f"to: dtype is float32 or float64, got {dtype!r}")
        for p in self.state():
            p.cast(dtype)
        return self

    def train(self, mode: bool = True) -> Any:
        """Put this module and all inside it into training mode; returns the module."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Any:
        """Put this module and all inside it into evaluation mode; returns the module."""
        return self.train(False)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the values of parameters and buffers, by name."""
        return {name: np.array(p) for name, p in self.named_state().items()}

    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> None:
        """Set parameters and buffers by name.

        Args:
            strict: False leaves names alone that only one side has.

        Raises: OptionError naming what is missing or unknown, ShapeError for a shape that differs; then nothing was changed.
        """
        named = self.named_state()
        missing, unknown = named.keys() - values.keys(), values.keys() - named.keys()
        if strict and (missing or unknown):
            parts = [f"{what}: {', '.join(sorted(names))}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
            raise OptionError(f"load_state_dict: {'; '.join(parts)}")
        ready = {name: as_tensor(values[name], p.dtype) for name, p in named.items() if name in values}
        for name, value in ready.items():
            if value.shape != named[name].shape:
                raise ShapeError(f"load_state_dict: {name} has shape {named[name].shape}, got {value.shape}")
        for name, value in ready.items():
            named[name].set(value)

    # Calls ------------------------------------------------------------------------------------------------------------------

    def bind(self, ops: Any, refs: Any = (), training: bool | None = None) -> Bound:
        """A backend in which this model's parameters have values; `model(bound, x)` computes, `bound.updates` holds new buffers.

        Args:
            ops: any backend.
            refs: references for `state()`, or for `parameters()` (buffers are constants then), or a mapping by name; on a session, nothing.
            training: the mode of every layer; None leaves each in its own.

        Raises: ShapeError if the count or a shape is not the model's, OptionError for an unknown name.
        """
        named = self.named_state()
        if isinstance(refs, Mapping):
            unknown = refs.keys() - named.keys()
            if unknown:
                raise OptionError(f"bind: the model has no {', '.join(sorted(unknown))}")
            given = {named[name]: ref for name, ref in refs.items()}
        else:
            targets = list(named.values())
            refs = list(refs)
            if refs and len(refs) not in (len(targets), len(self.parameters())):
                raise ShapeError(
                    f"bind: one reference for each of the {len(self.parameters())} parameters"
                    f" (and {len(self.buffers())} buffers), got {len(refs)}"
                )
            given = dict(zip(targets, refs, strict=False))
        for p, ref in given.items():
            if tuple(ref.shape) != p.shape:
                raise ShapeError(f"bind: {p.name or 'the parameter'} has shape {p.shape}, got {tuple(ref.shape)}")
        return Bound(ops, given, training)

    def apply(self, ops: Any, refs: Any, *inputs: Any, training: bool | None = None) -> Any:
        """The output with these values of the parameters, as `bind` takes them: a pure function, buffers do not move."""
        return self(self.bind(ops, refs, training), *inputs)

    def __call__(self, ops: Any, *inputs: Any, **options: Any) -> Any:
        if isinstance(ops, Bound):
            if ops.watch is not None:
                return ops.watch(self, lambda: self.forward(ops, *inputs, **options), inputs)
            return self.forward(ops, *inputs, **options)
        if not hasattr(ops, "linear"):
            raise OptionError(f"{type(self).__name__}: the first argument is a backend or session, got {type(ops).__name__}; see predict")
        bound = Bound(ops, {})
        y = self.forward(bound, *inputs, **options)
        for buffer, new in bound.updates.items():
            buffer.set(ops.get_value(new) if hasattr(ops, "get_value") else new.value)
        return y

    def program(self, loss: Any, inputs: int = 1, training: bool | None = None) -> Callable[..., Any]:
        """The loss of this model as a program for a `ScalarTrainer` over `state()`.

        Args:
            loss: the name of an op (`"cross_entropy"`), or `loss(ops, output, *targets)`.
            inputs: how many of the program's inputs go to the model; the rest are targets.
            training: the mode of every layer; None leaves each in its own.

        Returns: `f(ops, *state, *inputs) -> (loss, {"loss": …, "output": …, "buffers": […]})`. The buffers are their new values (None where
            one did not move), for `set_buffers`: they are outputs of the step, so every backend computes the same bits.
        """
        named = self.named_state()
        for name, p in named.items():
            p.name = name
        state, buffers, count = list(named.values()), self.buffers(), len(named)

        def program(ops: Any, *refs: Any) -> Any:
            bound = Bound(ops, dict(zip(state, refs, strict=False)), training)
            xs, targets = refs[count : count + inputs], refs[count + inputs :]
            output = self(bound, *xs)
            value = getattr(bound, loss)(output, *targets) if isinstance(loss, str) else loss(bound, output, *targets)
            return value, {"loss": value, "output": output, "buffers": [bound.updates.get(b) for b in buffers]}

        return program

    def set_buffers(self, values: Sequence[Any]) -> None:
        """Give the buffers new values in the order of `buffers()`; None leaves one as it is."""
        for buffer, value in zip(self.buffers(), values, strict=True):
            if value is not None:
                buffer.set(value)

    def predict(self, *inputs: Any, batch_size: int | None = None, device: str = "cpu") -> AnyTensor:
        """The output for these arrays in evaluation mode, with no gradient recorded. Integer and Boolean inputs keep their kind.

        Args:
            inputs: arrays, one for each input of the model.
            batch_size: compute so many samples at a time, and join the results along the first axis; None: all at once.
            device: where to compute: "cpu", "cuda" or "cuda:<number>"; the output is read back.

        Raises: OptionError on a batch size below 1; DeviceError where there is no such device.
        """
        values = [np.asarray(x) for x in inputs]
        if batch_size is not None:
            if batch_size < 1:
                raise OptionError(f"predict: batch_size is at least 1, got {batch_size!r}")
            starts = range(0, len(values[0]), batch_size)
            if len(starts) > 1:

                def part(k: int) -> AnyTensor:
                    return self.predict(*(x[k : k + batch_size] for x in values), device=device)

                return as_tensor(np.concatenate([part(k).numpy() for k in starts]))
        state = self.state()
        s = Session(dtype=state[0].dtype if state else "float32", device=device)
        kinds = {"i": "int64", "u": "int64", "b": "bool"}
        with no_grad():
            refs = [s.add_leaf(as_tensor(x, kinds.get(x.dtype.kind, s.options.dtype)), False) for x in values]
            return as_tensor(self(Bound(s, {}, training=False), *refs).value)

    def __repr__(self) -> str:
        inside = [f"{name}={value!r}" for name, value in self.members() if isinstance(value, Module)]
        return f"{type(self).__name__}({self.extra() or ', '.join(inside)})"

    def extra(self) -> str:
        """What `repr` shows between the brackets, apart from inner modules."""
        return ""
