"""Programs as functions of PyTorch: differentiated there by the program's own derivatives, to any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tlean import tree
from tlean.autodiff import vjp
from tlean.caching import Cache
from tlean.errors import DTypeError, OptionError
from tlean.programs.jit import jit
from tlean.programs.recorder import name_of

from .exchange import from_torch, to_torch, torch_package


class _Call:
    # The arguments of a call without its tensors, and where those go.
    def __init__(self, leaves: list[Any], form: Any, tensors: list[int]) -> None:
        rest = dict(enumerate(leaves))
        for k in tensors:
            del rest[k]
        self.form, self.tensors, self.count = form, tensors, len(leaves)
        # A number is an argument of the program, so another one is not another program.
        self.numbers = {k: x for k, x in rest.items() if type(x) in (int, float)}
        self.fixed = {k: x for k, x in rest.items() if k not in self.numbers}

    @property
    def key(self) -> tuple[Any, ...]:
        """By what a program that pulls back is kept."""
        return self.form, *self.tensors, *self.fixed.items()

    def filled(self, tensors: Iterable[Any], numbers: Iterable[Any]) -> Any:
        """The positional and the keyword arguments."""
        at = self.fixed | dict(zip(self.tensors, tensors, strict=True)) | dict(zip(self.numbers, numbers, strict=True))
        return tree.unflatten(self.form, [at[k] for k in range(self.count)])


class TorchFunction:
    """What `to_torch_function` returns: `f(*tensors)`, a step of PyTorch's own graph.

    Args:
        f: the program.
        name: for messages.
    """

    def __init__(self, f: Callable[..., Any], name: str) -> None:
        self._program, self._name = jit(f), name
        self._pulled = Cache(64)
        self._function: Any = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The result, a tensor or a tree of them.

        Args:
            args: tensors of PyTorch, on the CPU, trees of them, and numbers.
            options: the same by keyword, and strings, Booleans and functions, which are part of the program.

        Raises: DTypeError for arrays of other libraries; what the program raises.
        """
        torch = torch_package("to_torch_function")
        leaves, form = tree.flatten((args, options))
        tensors = [k for k, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
        for name, value in [*enumerate(args), *options.items()]:
            for x in tree.flatten(value)[0]:
                other = hasattr(x, "__array__") or hasattr(x, "__dlpack__")
                if x.device.type != "cpu" if isinstance(x, torch.Tensor) else other:
                    got = f"one on {x.device}" if isinstance(x, torch.Tensor) else type(x).__name__
                    raise DTypeError(f"{self._name}: argument {name} must be a torch.Tensor of the CPU, or a number, got {got}")
        if self._function is None:
            self._function = self._made(torch)
        structure: list[Any] = []
        made = self._function.apply(structure, _Call(leaves, form, tensors), *(leaves[k] for k in tensors))
        return tree.unflatten(structure[0], list(made))

    def _made(self, torch: Any) -> Any:
        owner = self

        class Program(torch.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, structure: list[Any], call: _Call, *xs: Any) -> Any:
                ctx.save_for_backward(*xs)
                args, options = call.filled(map(from_torch, xs), call.numbers.values())
                leaves, form = tree.flatten(owner._program(*args, **options))
                structure.append(form)
                ctx.set_materialize_grads(True)
                made = tuple(map(to_torch, leaves))
                ctx.mark_non_differentiable(*(y for y in made if not y.is_floating_point()))
                ctx.call, ctx.kinds = call, [y.is_floating_point() for y in made]
                return made

            @staticmethod
            def backward(ctx: Any, *gs: Any) -> Any:
                xs = ctx.saved_tensors
                given = [g for g, moves in zip(gs, ctx.kinds, strict=True) if moves]
                found = owner._pull(ctx.call, xs, given) if given and xs else [None] * len(xs)
                return None, None, *(g if x.is_floating_point() else None for g, x in zip(found, xs, strict=True))

        return Program

    def _pull(self, call: _Call, xs: Sequence[Any], gs: Sequence[Any]) -> list[Any]:
        # A program of PyTorch too, so that it is differentiated in its turn. What has no gradient has zeros.
        torch = torch_package("to_torch_function")
        program = self._program.__wrapped__

        def made() -> TorchFunction:
            def pulled(xs: Sequence[Any], gs: Sequence[Any], numbers: Sequence[Any]) -> list[Any]:
                def moving(*tensors: Any) -> list[Any]:
                    args, options = call.filled(tensors, numbers)
                    leaves = tree.flatten(program(*args, **options))[0]
                    return [y for y in leaves if str(y.dtype).startswith("float")]

                return [g for g in vjp(moving, *xs)[1](list(gs)) if g is not None]

            return TorchFunction(pulled, self._name)

        pull = self._pulled.make(call.key, made)
        floats = iter(pull(list(xs), list(gs), list(call.numbers.values())))
        return [next(floats) if x.is_floating_point() else torch.zeros_like(x) for x in xs]


def to_torch_function(f: Callable[..., Any]) -> TorchFunction:
    """A program as a function of PyTorch tensors (a `torch.autograd.Function`), with gradients of any order.

    It runs on the CPU, compiled for each shapes and dtypes of arguments; arguments and results are copied between the libraries.

    Args:
        f: a program of arrays, `f(*xs)` or `f(ops, *xs)`; its result may be a tree. Arrays and parameters that it captures are read at each
            call, without a gradient. It may have keyword arguments; of these strings, Booleans, None and functions are part of the program.
            Arguments may be trees of tensors, and numbers, which have no gradient.

    Raises: OptionError if f is no function; when called, DTypeError for tensors of another device and arrays of another library.

    Example:
        >>> import torch
        >>> square = tl.to_torch_function(lambda x: tl.sum(x * x))
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> square(x).backward()
        >>> x.grad.tolist()
        [2.0, 4.0]
    """
    torch_package("to_torch_function")
    if not callable(f):
        raise OptionError(f"to_torch_function: a program must be a function, got {type(f).__name__}")
    return TorchFunction(f, name_of(f))
