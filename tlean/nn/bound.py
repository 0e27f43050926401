"""`Bound`: a backend together with values for a model's parameters."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tlean.arguments.literals import FloatName
from tlean.errors import NodeError, OptionError
from tlean.param import Param
from tlean.programs.compiled import GraphM
from tlean.programs.inline import has_ops
from tlean.programs.running import Wrapped, innermost_among

if TYPE_CHECKING:
    from .module import Module


class Buffer(Param):
    """A value that a layer keeps and no optimiser moves, such as a running mean."""

    __slots__ = ()

    def __init__(self, value: Any, name: str | None = None, *, dtype: FloatName | None = None) -> None:
        super().__init__(value, name, False, dtype=dtype)


class Bound(Wrapped):
    """A backend that takes a layer's own parameters as arguments of its ops: what `Module.forward` computes on.

    Every op of the backend is here. A `Param` as argument means its value in this program: the reference it was bound to, or,
    on a session, the leaf that `session.use` makes.

    Args:
        ops: the backend.
        refs: parameter → its reference; others are added as they are used.
        training: the mode of all layers; None: each has its own.
        closed: whether a parameter that is not in `refs` is an error.
    """

    def __init__(self, ops: Any, refs: dict[Param, Any], training: bool | None = None, closed: bool = False) -> None:
        self.ops = ops
        self.refs = refs
        # Whether `refs` holds all there is: what a program's trainer does not train must not be used as if it were.
        self._closed = closed
        #: None: each layer in the mode it has; else the mode of all.
        self.forced_mode = training
        #: New values of buffers, as references.
        self.updates: dict[Buffer, Any] = {}
        #: Called as `watch(module, call, inputs)` in place of `call()` where calls are observed.
        self.watch: Callable[..., Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "ops":
            # Of a copy that is not whole yet.
            raise AttributeError(name)
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
        """The reference to a parameter's or buffer's value.

        Args:
            p: a parameter or buffer.

        Raises: NodeError if it is unbound and the backend cannot read it.
        """
        if p not in self.refs:
            if self._closed:
                raise NodeError(
                    f"the program uses {p!r}, which the model's state() does not hold: keep it, or its layer, as an attribute of the model,"
                    " in a ModuleList or a ModuleDict"
                )
            if isinstance(p, Buffer):
                # Not `use`: buffers change within the step, and a tape refuses a parameter that changed since it was read.
                # A kept program reads it again at each call.
                self.refs[p] = self.ops.const(p if isinstance(self.ops, GraphM) else p.get())
            elif hasattr(self.ops, "use"):
                self.refs[p] = self.ops.use(p)
            else:
                raise NodeError(f"{p!r} has no value in this program: call the model with bind or apply")
        return self.refs[p]

    def training(self, module: Module) -> bool:
        """Whether a layer is to behave as in training.

        Args:
            module: the layer.
        """
        return module.training if self.forced_mode is None else self.forced_mode

    def update(self, buffer: Buffer, new: Any) -> None:
        """Give a buffer a new value: what reads it later in this program sees it, and `updates` holds it.

        Args:
            buffer: the buffer.
            new: a reference to its value from now on.
        """
        self.refs[buffer] = self.updates[buffer] = new


def check_backend(layer: Module, ops: Any, more: str = "") -> None:
    """Raises: OptionError for something that is no backend."""
    if not has_ops(ops):
        raise OptionError(f"{type(layer).__name__}: the first argument must be a backend or session, got {type(ops).__name__}{more}")


def backend_among(layer: Module, args: tuple[Any, ...], more: str = "") -> tuple[Any, tuple[Any, ...]]:
    """The backend that a call of a layer records into, and the arguments after it: the first, or the innermost of what runs.

    Raises: OptionError where there is none.
    """
    ops = None if has_ops(args[0]) else innermost_among(args)
    if ops is not None:
        if isinstance(args[0], ModuleType):
            raise OptionError(f"{type(layer).__name__}: the first argument must be left out where a program runs, got a module")
        return ops, args
    check_backend(layer, args[0], more)
    return args[0], args[1:]
