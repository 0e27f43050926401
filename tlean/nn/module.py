"""`Module`: parameters and a function over `Ops`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tlean import tree
from tlean._core.array import as_tensor
from tlean.arguments import float_dtype, truth, whole
from tlean.arguments.literals import FloatName
from tlean.compiler.graph import Graph
from tlean.data.arrays import as_array
from tlean.display import table
from tlean.errors import NodeError, OptionError, ShapeError
from tlean.interpreters.eager import no_grad
from tlean.optim.param_list import listed
from tlean.optim.updates import check_dtypes
from tlean.param import Param
from tlean.programs.recorder import method_takes_ops
from tlean.programs.running import run_in
from tlean.rng import Rng, with_seed
from tlean.session.base import Session
from tlean.shapes import as_shape

from .bound import Bound, Buffer, backend_among, check_backend
from .init import Initialiser
from .names import kind_of_name, renamed
from .program import Program


def seed(number: int) -> None:
    """Restart the stream of first values: the same layers made after it get the same values. `tl.seed` does this too.

    Args:
        number: the seed.
    """
    global _stream
    _stream = Rng(number)


# Where layers that are made without further ado draw their first values from.
_stream = Rng(with_seed(seed))


def shape_of(layer: Module, x: Any) -> tuple[int, ...]:
    """The shape of an input. Raises: NodeError for something that is no reference and no array."""
    shape = getattr(x, "shape", None)
    if not isinstance(shape, tuple):
        raise NodeError(f"{type(layer).__name__}: x must be a reference of the program or an array, got a {type(x).__name__}")
    return shape


class Module:
    """A layer or a model: parameters, buffers and other layers as attributes, and a program `forward(ops, *inputs)`, or without `ops`.

        class Net(tl.nn.Module):
            def __init__(self):
                self.hidden = tl.nn.Linear(784, 128)
                self.scores = tl.nn.Linear(128, 10)

            def forward(self, ops, x):
                return self.scores(ops, ops.relu(self.hidden(ops, x)))

    or, without `ops`, `def forward(self, x): return self.scores(tl.relu(self.hidden(x)))`.

    A model is called in one of three ways; each gives the same bits:

        y = model(session, session.input(x))                  # on a session: parameters are used, running statistics move
        y = model.apply(ops, refs, x)                         # in any program: refs are values for state(), or parameters(), or by name
        f = model.program("cross_entropy")                    # a loss for ScalarTrainer(options, model.state(), shapes, f)

    Layers and parameters in a list or tuple that is an attribute belong to the model too, as those in a `ModuleList` or `ModuleDict` do;
    in a plain dict, or a list in a list, they would be neither trained nor saved, so that is an error. A parameter that appears twice is
    one parameter (weight tying).
    """

    #: A kept program that captures a layer looks at all its attributes, except for these.
    __tlean_unwatched__: frozenset[str] = frozenset(("_first_values",))

    #: Names of own parameters that files of earlier versions have, and what they are now.
    __tlean_renamed__: Mapping[str, str] = {}

    #: Whether `forward` is the library's own: it takes `ops`, and hands it on.
    __tlean_own__: bool = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__tlean_own__ = getattr(cls.forward, "__module__", "").startswith(f"{__package__}.")

    #: Whether the layer behaves as in training (dropout drops, batch normalisation uses the batch).
    training = True

    def forward(self, ops: Any, *inputs: Any) -> Any:
        """The output for these inputs, computed by `ops`. A subclass writes it.

        Args:
            ops: a backend on which parameters are arguments of ops, `Bound`.
            inputs: references.

        Returns: a reference, or a tuple, list or dict of them.
        Raises: ShapeError for inputs that the layer cannot take.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward(ops, *inputs)")

    # Parts ------------------------------------------------------------------------------------------------------------------

    def parameter(self, shape: Sequence[int], initialiser: Initialiser, buffer: bool = False) -> Param:
        """A new parameter (or buffer) whose first value this rule draws; `init` draws it again.

        Args:
            shape: of the value.
            initialiser: a rule of `nn.init`.
            buffer: make a `Buffer`, which no optimiser moves.

        Raises: OptionError for something that is no rule; ShapeError for a shape that does not fit into memory, or a rule that gives
            another shape.
        """
        kind = Buffer if truth("parameter: buffer", buffer) else Param
        if not callable(initialiser):
            raise OptionError(f"{type(self).__name__}: a first value must be drawn by a rule of nn.init, got {initialiser!r}")
        dims = as_shape(shape)
        if math.prod(n for n in dims if n) >= 1 << 60:
            raise ShapeError(f"{type(self).__name__}: a parameter of shape {dims} is larger than memory")
        p = kind(initialiser(_stream, dims, "float32"))
        if p.shape != dims:
            raise ShapeError(f"{type(self).__name__}: the rule of a first value gives an array of shape {dims}, it gave {p.shape}")
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
        """(path, module) for this module and all inside it, each once.

        Args:
            prefix: put before every path.

        Raises: OptionError that names the attribute where a layer or parameter is kept in a plain dict, or a list in a list.
        """
        if not isinstance(prefix, str):
            raise OptionError(f"named_modules: a prefix must be a text, got {prefix!r}")
        found: list[tuple[str, Module]] = []
        known: set[int] = set()

        def walk(path: str, module: Module) -> None:
            if id(module) not in known:
                known.add(id(module))
                found.append((path, module))
                for name, value in module.members():
                    if isinstance(value, Module):
                        walk(f"{path}.{name}" if path else name, value)
                    else:
                        known.add(id(value))

        walk(prefix, self)
        for path, module in found:
            for where, part in _kept_inside(vars(module)):
                if id(part) not in known:
                    raise OptionError(
                        f"{type(module).__name__}: {f'{path}.' if path else ''}{where} holds a {type(part).__name__}, which would be"
                        " neither trained nor saved: keep layers and parameters as attributes, or in an nn.ModuleList or nn.ModuleDict"
                    )
        return iter(found)

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
        """The number of elements of all parameters; with `trainable`, of those that are not frozen.

        Args:
            trainable: whether to leave out frozen parameters.
        """
        trainable = truth("count: trainable", trainable)
        return sum(int(np.prod(p.shape)) for p in self.parameters() if not (trainable and p.requires_grad is False))

    # Values -----------------------------------------------------------------------------------------------------------------

    def init(self, seed: int, **rules: Initialiser) -> Any:
        """Draw every first value again; returns the module.

        Args:
            seed: of a separate stream: the same model and seed give the same values.
            rules: initialisers by the last part of a parameter's name (`weight=kaiming_normal()`), without the number of a recurrent
                layer (`weight_hh=normal()`), in place of the layers' own.

        Raises: OptionError if a rule fits no parameter.
        """
        # A rule for `weight_hh` is one for `weight_hh_l0` and `weight_hh_l1_reverse`.
        names = {id(p): kind_of_name(name) for name, p in self.named_state().items()}
        unknown = rules.keys() - set(names.values())
        if unknown:
            raise OptionError(
                f"init: no parameter is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(set(names.values())))}"
            )
        for name, rule in rules.items():
            if not callable(rule):
                raise OptionError(f"init: {name} must be a rule (rng, shape, dtype) -> array, as those of nn.init; got {rule!r}")
        rng = Rng(seed)
        for _, module in self.named_modules():
            for p, own in vars(module).get("_first_values", ()):
                # A layer may have had its parameter replaced by a shared one: what is no longer there draws nothing.
                if id(p) in names:
                    p.set(rules.get(names.pop(id(p)), own)(rng, p.shape, p.dtype))
        return self

    def to(self, dtype: FloatName) -> Any:
        """Keep all values in this dtype, "float32" or "float64", from now on; returns the module.

        Args:
            dtype: "float32" or "float64".

        Raises: DTypeError for another dtype.
        """
        dtype = float_dtype("to", dtype)
        for p in self.state():
            p.cast(dtype)
        return self

    def train(self, mode: bool = True) -> Any:
        """Put this module and all inside it into training mode; returns the module.

        Args:
            mode: False for evaluation mode.
        """
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Any:
        """Put this module and all inside it into evaluation mode; returns the module."""
        return self.train(False)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the values of parameters and buffers, by name, as NumPy arrays.

        The names and shapes of most layers are PyTorch's; its own `load_state_dict` takes tensors:
        `torch_model.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})`.
        """
        return {name: np.array(p) for name, p in self.named_state().items()}

    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> None:
        """Set parameters and buffers by name.

        Args:
            values: name → array, of the shape that it has here.
            strict: False leaves names alone that only one side has.

        Raises: OptionError for no mapping, or naming what is missing or unknown, ShapeError for a shape that differs; then nothing was
        changed.
        """
        if not isinstance(values, Mapping):
            raise OptionError(f"load_state_dict: a state must be a mapping of names to arrays, got {type(values).__name__}")
        named, values = self.named_state(), renamed(self, values)
        missing, unknown = named.keys() - values.keys(), values.keys() - named.keys()
        if truth("load_state_dict: strict", strict) and (missing or unknown):
            parts = [
                f"{what}: {', '.join(sorted(map(str, names)))}" for what, names in (("missing", missing), ("unknown", unknown)) if names
            ]
            raise OptionError(f"load_state_dict: {'; '.join(parts)}")
        ready = {name: as_tensor(values[name], p.dtype) for name, p in named.items() if name in values}
        for name, value in ready.items():
            if value.shape != named[name].shape:
                raise ShapeError(f"load_state_dict: {name} must have shape {named[name].shape}, got {value.shape}")
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
        check_backend(self, ops)
        named = self.named_state()
        if isinstance(refs, Mapping):
            unknown = refs.keys() - named.keys()
            if unknown:
                raise OptionError(f"bind: the model has no {', '.join(sorted(map(str, unknown)))}")
            given = {named[name]: ref for name, ref in refs.items()}
        else:
            targets = list(named.values())
            refs = listed("bind: the references", refs)
            if refs and len(refs) not in (len(targets), len(self.parameters())):
                raise ShapeError(
                    f"bind: one reference for each of the {len(self.parameters())} parameters"
                    f" (and {len(self.buffers())} buffers), got {len(refs)}"
                )
            given = dict(zip(targets, refs, strict=False))
        for p, ref in given.items():
            if not isinstance(getattr(ref, "shape", None), tuple):
                raise NodeError(f"bind: {p.name or 'a parameter'} must be bound to a reference, got a {type(ref).__name__}")
            if tuple(ref.shape) != p.shape:
                raise ShapeError(f"bind: {p.name or 'the parameter'} must have shape {p.shape}, got {tuple(ref.shape)}")
        return Bound(ops, given, training)

    def apply(self, ops: Any, refs: Any, *inputs: Any, training: bool | None = None) -> Any:
        """The output with these values of the parameters, as `bind` takes them: a pure function, buffers do not move.

        Args:
            ops: a backend; may be left out while a program runs, and where the values or inputs are references.
            refs: the values, as `bind` takes them.
            inputs: references.
            training: the mode; None takes each layer's own.
        """
        ops, (refs, *xs) = backend_among(self, (ops, refs, *inputs))
        return self(self.bind(ops, refs, training), *xs)

    def __call__(self, ops: Any, *inputs: Any, **options: Any) -> Any:
        """The output for these inputs; running statistics move in training mode.

        Args:
            ops: a backend or session; may be left out while a program runs, and where an input is a reference.
            inputs: references.
            options: of `forward`.

        Returns: what `forward` returns.
        Raises: what `forward` raises; OptionError in training mode where running statistics would have to move inside a transformed or
            compiled program.
        """
        if not isinstance(ops, Bound):
            ops, inputs = backend_among(self, (ops, *inputs), "; see predict")
        if isinstance(ops, Bound):
            if ops.watch is not None:
                return ops.watch(self, lambda: self._forward(ops, inputs, options), inputs)
            return self._forward(ops, inputs, options)
        bound = Bound(ops, {})
        y = self._forward(bound, inputs, options)
        if bound.updates and isinstance(ops, Graph):
            raise OptionError(
                f"{type(self).__name__}: running statistics do not move inside a transformed or compiled program; call the model in"
                " evaluation mode (eval()), or with bind, whose `updates` are their new values"
            )
        for buffer, new in bound.updates.items():
            buffer.set(ops.get_value(new) if hasattr(ops, "get_value") else new.value)
        return y

    def _forward(self, bound: Bound, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        # As a program is called: with the backend first, or with the inputs alone, which then is the running one.
        if self.__tlean_own__:
            return self.forward(bound, *inputs, **options)
        first = method_takes_ops(type(self).forward, len(inputs), tuple(options))
        return run_in(bound, self.forward, inputs, options, first)

    def program(self, loss: Any, inputs: int = 1, training: bool | None = None) -> Callable[..., Any]:
        """The loss of this model as a program for a `ScalarTrainer` over `state()`.

        Args:
            loss: the name of an op (`"cross_entropy"`), or `loss(ops, output, *targets)`.
            inputs: how many of the program's inputs go to the model; the rest are targets.
            training: the mode of every layer; None leaves each in its own.

        Returns: `f(ops, *state, *inputs) -> (loss, {"loss": …, "output": …, "buffers": […]})`. The buffers are their new values (None where
            one did not move), for `set_buffers`: they are outputs of the step, so every backend computes the same bits.
        """
        return Program(self, loss, inputs, training)

    def set_buffers(self, values: Sequence[Any]) -> None:
        """Give the buffers new values in the order of `buffers()`; None leaves one as it is.

        Args:
            values: one for each buffer, of its shape, or None.

        Raises: ShapeError if the count is not that of the buffers, or a shape differs.
        """
        buffers, values = self.buffers(), listed("set_buffers: the values", values)
        if len(buffers) != len(values):
            raise ShapeError(f"set_buffers: a value, or None, for each of the {len(buffers)} buffers, got {len(values)}")
        for buffer, value in zip(buffers, values, strict=True):
            if value is not None:
                buffer.set(value)

    def predict(self, *inputs: Any, batch_size: int | None = None, device: str = "cpu") -> Any:
        """The output for these arrays in evaluation mode, with no gradient recorded. Integer and Boolean inputs keep their kind.

        Args:
            inputs: arrays, one for each input of the model.
            batch_size: compute so many samples at a time, and join the results along the first axis; None: all at once.
            device: where to compute: "cpu", "cuda" or "cuda:<number>"; the output is read back.

        Returns: an array; for a model whose output is a tuple, list or dict, the same with arrays in it.
        Raises: OptionError on a batch size below 1; ShapeError where there are batches and a first axis does not run over the samples;
            DTypeError for inputs that are no arrays of numbers, or for parameters and buffers of two dtypes; DeviceError where there is
            no such device.
        """
        values = [as_array(f"predict: input {k}", x, numbers=True) for k, x in enumerate(inputs)]
        if batch_size is None:
            return self._predicted(values, device)
        batch_size = whole("predict: batch_size", batch_size, 1)
        if not values or any(x.ndim == 0 for x in values) or len({len(x) for x in values}) > 1:
            raise ShapeError(
                f"predict: in batches the inputs must have a first axis of one length, got {', '.join(str(x.shape) for x in values)}"
            )
        parts = []
        for k in range(0, max(len(values[0]), 1), batch_size):
            rows = [x[k : k + batch_size] for x in values]
            leaves, structure = tree.flatten(self._predicted(rows, device))
            if any(leaf.shape[:1] != rows[0].shape[:1] for leaf in leaves):
                raise ShapeError(
                    f"predict: in batches the first axis of an output runs over the samples; {len(rows[0])} samples gave"
                    f" {', '.join(str(leaf.shape) for leaf in leaves)}"
                )
            parts.append(leaves)
        if len(parts) == 1:
            return tree.unflatten(structure, parts[0])
        return tree.unflatten(
            structure, [as_tensor(np.concatenate([leaf.numpy() for leaf in column])) for column in zip(*parts, strict=True)]
        )

    def _predicted(self, values: Sequence[np.ndarray], device: str) -> Any:
        state = self.state()
        s = Session(dtype=state[0].dtype if state else "float32", device=device)
        check_dtypes("predict", state, s.dtype)
        kinds = {"i": "int64", "u": "int64", "b": "bool"}
        with no_grad():
            refs = [s.add_leaf(as_tensor(x, kinds.get(x.dtype.kind, s.options.dtype)), False) for x in values]
            return tree.map(lambda r: as_tensor(getattr(r, "value", r)), self(Bound(s, {}, training=False), *refs))

    def __repr__(self) -> str:
        inside = [f"{name}={value!r}" for name, value in self.members() if isinstance(value, Module)]
        return f"{type(self).__name__}({self.extra() or ', '.join(inside)})"

    def _repr_html_(self) -> str:
        rows = [(name, f"{tuple(p.shape)}", p.dtype, f"{math.prod(p.shape):,}") for name, p in self.named_state().items()]
        return table(f"{type(self).__name__}: {self.count():,} parameters", ("state", "shape", "dtype", "elements"), rows)

    def extra(self) -> str:
        """What `repr` shows between the brackets, apart from inner modules."""
        return ""


def _kept_inside(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(where, layer or parameter) of what plain containers among these attributes hold, however deep."""
    known: set[int] = set()
    left: list[tuple[str, Any]] = [(n, v) for n, v in attributes.items() if n != "_first_values" and isinstance(v, _CONTAINERS)]
    while left:
        where, value = left.pop()
        if isinstance(value, Module | Param):
            yield where, value
        elif isinstance(value, _CONTAINERS) and id(value) not in known:
            known.add(id(value))
            pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(f"{where}[{k!r}]", v) for k, v in pairs if isinstance(v, _PARTS)]


_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_PARTS = (Module, Param, *_CONTAINERS)
