"""Programs as functions of PyTorch: differentiated there by the program's own derivatives, to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean.autodiff import vjp
from tlean.errors import DTypeError, OptionError
from tlean.programs.jit import jit
from tlean.programs.recorder import name_of

from .exchange import from_torch, to_torch, torch_package


class TorchFunction:
    """What `to_torch_function` returns: `f(*tensors)`, a step of PyTorch's own graph.

    Args:
        f: the program.
        name: for messages.
    """

    def __init__(self, f: Callable[..., Any], name: str) -> None:
        self._program, self._name = jit(f), name
        self._pulled: TorchFunction | None = None
        self._function: Any = None

    def __call__(self, *tensors: Any) -> Any:
        """The result, a tensor or a tree of them.

        Args:
            tensors: of PyTorch, on the CPU.

        Raises: DTypeError for other arguments; what the program raises.
        """
        torch = torch_package("to_torch_function")
        for k, x in enumerate(tensors):
            if not isinstance(x, torch.Tensor) or x.device.type != "cpu":
                got = f"one on {x.device}" if isinstance(x, torch.Tensor) else type(x).__name__
                raise DTypeError(f"{self._name}: argument {k} must be a torch.Tensor of the CPU, got {got}")
        if self._function is None:
            self._function = self._made(torch)
        structure: list[Any] = []
        leaves = self._function.apply(structure, *tensors)
        return tree.unflatten(structure[0], list(leaves))

    def _made(self, torch: Any) -> Any:
        owner = self

        class Program(torch.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, structure: list[Any], *xs: Any) -> Any:
                ctx.save_for_backward(*xs)
                leaves, form = tree.flatten(owner._program(*map(from_torch, xs)))
                structure.append(form)
                ctx.set_materialize_grads(True)
                made = tuple(map(to_torch, leaves))
                ctx.mark_non_differentiable(*(y for y in made if not y.is_floating_point()))
                ctx.form, ctx.kinds = form, [y.is_floating_point() for y in made]
                return made

            @staticmethod
            def backward(ctx: Any, *gs: Any) -> Any:
                xs = ctx.saved_tensors
                given = [g for g, moves in zip(gs, ctx.kinds, strict=True) if moves]
                found = owner._pull(xs, given) if given else [None] * len(xs)
                return None, *(g if x.is_floating_point() else None for g, x in zip(found, xs, strict=True))

        return Program

    def _pull(self, xs: Sequence[Any], gs: Sequence[Any]) -> list[Any]:
        # A program of PyTorch too, so that it is differentiated in its turn. What has no gradient has zeros.
        torch = torch_package("to_torch_function")
        count = len(xs)
        program = self._program.__wrapped__

        def moving(*args: Any) -> list[Any]:
            leaves = tree.flatten(program(*args))[0]
            return [y for y in leaves if str(y.dtype).startswith("float")]

        def pulled(*args: Any) -> list[Any]:
            found = vjp(moving, *args[:count])[1](list(args[count:]))
            return [g for g in found if g is not None]

        if self._pulled is None:
            self._pulled = TorchFunction(pulled, self._name)
        floats = iter(self._pulled(*xs, *gs))
        return [next(floats) if x.is_floating_point() else torch.zeros_like(x) for x in xs]


def to_torch_function(f: Callable[..., Any]) -> TorchFunction:
    """A program as a function of PyTorch tensors (a `torch.autograd.Function`), with gradients of any order.

    It runs on the CPU, compiled for each shapes and dtypes of arguments; arguments and results are copied between the libraries.

    Args:
        f: a program of arrays, `f(*xs)` or `f(ops, *xs)`; its result may be a tree. Arrays and parameters that it captures are read at each
            call, without a gradient.

    Raises: OptionError if f is no function; when called, DTypeError for arguments that are no tensors of the CPU.

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
