"""Layers with weights alone, activations, and layers made of layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tlean.arguments import truth, whole
from tlean.errors import IndexRangeError, OptionError, ShapeError
from tlean.optim.updates import number
from tlean.programs.recorder import Recorder

from ..arguments.literals import Approximation
from .init import Initialiser, kaiming_uniform, normal, uniform
from .module import Module, shape_of

if TYPE_CHECKING:
    from tlean.param import Param


# Weights uniform in ±1/√fan-in, PyTorch's default for linear and convolutional layers.
DEFAULT_WEIGHT = kaiming_uniform("leaky_relu", math.sqrt(5))


def default_bias(fan_in: int) -> Initialiser:
    """Uniform in ±1/√fan-in."""
    bound = 1 / math.sqrt(max(fan_in, 1))
    return uniform(-bound, bound)


def positive(layer: str, **sizes: int) -> tuple[int, ...]:
    """The sizes of a layer as ints. Raises: OptionError for one that is no int, ShapeError for one below 1."""
    found = tuple([whole(f"{layer}: {name}", size) for name, size in sizes.items()])
    for name, size in zip(sizes, found, strict=True):
        if size < 1:
            raise ShapeError(f"{layer}: {name} must be at least 1, got {size}")
    return found


class Linear(Module):
    """y = W x + b.

    Args:
        inputs, outputs: the sizes of the last axis of x and y.
        bias: whether there is a b.
        weight_init, bias_init: rules for the first values; uniform in ±1/√inputs by default.

    Shapes: x `(*k, inputs)` → `(*k, outputs)`; weight `(outputs, inputs)`, bias `(outputs,)`.

    Example:
        >>> layer = tl.nn.Linear(3, 2).init(0)
        >>> layer.predict(np.ones((4, 3), np.float32)).shape, list(layer.named_parameters())
        ((4, 2), ['weight', 'bias'])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        weight_init: Initialiser = DEFAULT_WEIGHT,
        bias_init: Initialiser | None = None,
    ) -> None:
        positive("Linear", inputs=inputs, outputs=outputs)
        self.weight: Param = self.parameter((outputs, inputs), weight_init)
        rule = default_bias(inputs) if bias_init is None else bias_init
        self.bias: Param | None = self.parameter((outputs,), rule) if truth("Linear: bias", bias) else None

    def forward(self, ops: Any, x: Any) -> Any:
        """The output.

        Args:
            x: the last axis has the layer's number of inputs.
        """
        return ops.linear(self.weight, self.bias, x)

    def extra(self) -> str:
        """Sizes."""
        outputs, inputs = self.weight.shape
        return f"{inputs}, {outputs}" + ("" if self.bias else ", bias=False")


class Embedding(Module):
    """Row i of a table for every integer i; a zero row for one out of range.

    Args:
        count: the number of rows.
        size: the length of a row.
        length: of the sequences that the indices hold, one after another; None for no sequences.
        weight_init: the rule for the first values; standard normal by default.
        padding: an index whose row is zeros and is not trained; or None.

    Raises: OptionError for a padding that is no row.

    Shapes: indices `k`, integer → `(*k, size)`, or with a length T, `(N·T,)` → `(N, T, size)`. Weight `(count, size)`.

    Example:
        >>> table = tl.nn.Embedding(10, 4).init(0)
        >>> table.predict(np.array([[1, 2, 9]])).shape
        (1, 3, 4)
    """

    length: int | None
    padding: int | None

    def __init__(
        self, count: int, size: int, length: int | None = None, weight_init: Initialiser | None = None, padding: int | None = None
    ) -> None:
        positive("Embedding", count=count, size=size, length=1 if length is None else length)
        if padding is not None and not (hasattr(padding, "__index__") and 0 <= padding < count):
            raise OptionError(f"Embedding: padding must be an index of a row, got {padding!r} for {count} rows")
        self.length, self.padding = length, padding
        self.weight: Param = self.parameter((count, size), normal() if weight_init is None else weight_init)

    def forward(self, ops: Any, indices: Any) -> Any:
        """The rows.

        Args:
            indices: integers; see the class for their shapes.

        Raises: ShapeError for sequences of another length.
        """
        shape = shape_of(self, indices)
        if self.padding is not None:
            # Out of range, where rows are zeros and have no gradient.
            padded = ops.equal(indices, self.padding)
            indices = ops.where(padded, self.weight.shape[0], indices)
        rows = ops.take(self.weight, indices, axis=0, mode="drop")
        if self.length is None or len(shape) != 1:
            return rows
        if shape[0] % self.length:
            raise ShapeError(f"Embedding: whole sequences of {self.length} indices, got {shape[0]} indices")
        return ops.reshape(rows, (-1, self.length, self.weight.shape[1]))

    def extra(self) -> str:
        """Sizes."""
        return (
            ", ".join(map(str, self.weight.shape))
            + (f", length={self.length}" if self.length else "")
            + ("" if self.padding is None else f", padding={self.padding}")
        )


class Dropout(Module):
    """In training each element is 0 with probability p and else divided by 1 − p; in evaluation x as it is.

    Args:
        p: the probability that an element becomes 0, in [0, 1].

    Source: Srivastava et al. 2014.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p: float = number("Dropout: p", p, 0.0, 1.0)

    def forward(self, ops: Any, x: Any) -> Any:
        """The output.

        Args:
            x: of any shape.
        """
        return ops.dropout(x, self.p) if self.p and ops.training(self) else x

    def extra(self) -> str:
        """The probability."""
        return str(self.p)


class Flatten(Module):
    """All axes from `start` on as one: `(N, …)` → `(N, size)` by default.

    Args:
        start: the first axis that is flattened.
    """

    def __init__(self, start: int = 1) -> None:
        self.start: int = whole("Flatten: start", start)

    def forward(self, ops: Any, x: Any) -> Any:
        """The output.

        Args:
            x: of any shape with that axis.

        Raises: ShapeError if x has no such axis.
        """
        shape = shape_of(self, x)
        if not 0 <= self.start < len(shape):
            raise ShapeError(f"Flatten: x must have an axis {self.start}, got x: {shape}")
        return ops.reshape(x, (*shape[: self.start], math.prod(shape[self.start :])))


class Function(Module):
    """A layer without parameters from any function of references.

    Args:
        f: called as `f(*inputs)`, or as `f(ops, *inputs)`, as a program is.

    Raises: OptionError for something that is no function.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        if not callable(f):
            raise OptionError(f"Function: f must be a function of (*inputs) or (ops, *inputs), got {f!r}")
        self.f = f
        self._recorder = Recorder("Function", f)

    def forward(self, ops: Any, *inputs: Any) -> Any:
        """The output.

        Args:
            inputs: what the function takes.
        """
        return self._recorder(ops, *inputs)

    def extra(self) -> str:
        """The function's name."""
        return getattr(self.f, "__name__", "")


class Activation(Module):
    """An op applied to each element (or along an axis), with its options.

    Args:
        options: of the op.
    """

    op = ""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def forward(self, ops: Any, x: Any) -> Any:
        """The output.

        Args:
            x: of any shape.
        """
        return getattr(ops, self.op)(x, **self.options)

    def extra(self) -> str:
        """The options."""
        return ", ".join(f"{k}={v!r}" for k, v in self.options.items())


class ReLU(Activation):
    """max(x, 0)."""

    op = "relu"


class Sigmoid(Activation):
    """1 / (1 + e^−x)."""

    op = "sigmoid"


class Tanh(Activation):
    """tanh x."""

    op = "tanh"


class Softplus(Activation):
    """ln(1 + e^βx)/β.

    Args:
        beta: β.
        threshold: where βx is above it, x itself; None is nowhere.
    """

    op = "softplus"

    def __init__(self, beta: float = 1.0, threshold: float | None = None) -> None:
        super().__init__(beta=beta, threshold=threshold)


class SiLU(Activation):
    """x·σ(x)."""

    op = "silu"


class LeakyReLU(Activation):
    """x where x > 0, else slope·x.

    Args:
        slope: for x < 0.
    """

    op = "leaky_relu"

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__(slope=slope)


class ELU(Activation):
    """x where x > 0, else α(e^x − 1).

    Args:
        alpha: the limit for x → −∞ is −alpha.
    """

    op = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class GELU(Activation):
    """x·Φ(x): by tanh, or exactly with `approximate="none"`.

    Args:
        approximate: "tanh" or "none", as for the op.
    """

    op = "gelu"

    def __init__(self, approximate: Approximation = "tanh") -> None:
        super().__init__(approximate=approximate)


class Softmax(Activation):
    """e^x / Σ e^x along an axis.

    Args:
        axis: along which the result sums to 1.
    """

    op = "softmax"

    def __init__(self, axis: int = -1) -> None:
        super().__init__(axis=axis)


class LogSoftmax(Activation):
    """The logarithm of the softmax along an axis.

    Args:
        axis: along which the probabilities sum to 1.
    """

    op = "log_softmax"

    def __init__(self, axis: int = -1) -> None:
        super().__init__(axis=axis)


def entry(owner: Any, items: list[Any], k: Any) -> Any:
    """`items[k]`, an int or a slice. Raises: IndexRangeError for one that is not there, OptionError for anything else."""
    try:
        return items[k]
    except IndexError:
        raise IndexRangeError(f"{type(owner).__name__}: index {k} is out of range for {len(items)} entries") from None
    except (TypeError, ValueError):
        raise OptionError(f"{type(owner).__name__}: an index must be an int or a slice, got {k!r}") from None


class Sequential(Module):
    """Layers one after another. An index gives a layer, a slice a `Sequential` of the same layers.

    Args:
        layers: `Module`s, from first to last.

    Raises: OptionError for a layer that is no `Module`.

    Example:
        >>> model = tl.nn.Sequential(tl.nn.Linear(4, 8), tl.nn.ReLU(), tl.nn.Linear(8, 3)).init(0)
        >>> model.predict(np.ones((2, 4), np.float32)).shape, model.count()
        ((2, 3), 67)
    """

    def __init__(self, *layers: Module) -> None:
        for k, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise OptionError(f"Sequential: layer {k} must be a Module, got {type(layer).__name__}; see Function")
        self.layers: list[Module] = list(layers)

    def members(self) -> Iterator[tuple[str, Any]]:
        """The layers, named by their numbers."""
        return ((str(k), layer) for k, layer in enumerate(self.layers))

    def forward(self, ops: Any, x: Any) -> Any:
        """The last layer's output.

        Args:
            x: what the first layer takes.
        """
        for layer in self.layers:
            x = layer(ops, x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, k: Any) -> Any:
        found = entry(self, self.layers, k)
        return Sequential(*found) if isinstance(k, slice) else found

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class Residual(Module):
    """y = body(x) + shortcut(x).

    Args:
        body: a layer.
        shortcut: what brings x to the body's output shape; x itself by default.

    Raises: ShapeError when called, if the two shapes differ.
    Source: He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", equation 1.
    """

    def __init__(self, body: Module, shortcut: Module | None = None) -> None:
        if not isinstance(body, Module) or not isinstance(shortcut, Module | None):
            raise OptionError(f"Residual: body and shortcut must be Modules, got {type(body).__name__} and {type(shortcut).__name__}")
        self.body = body
        self.shortcut = shortcut

    def forward(self, ops: Any, x: Any) -> Any:
        """The sum.

        Args:
            x: what the body takes; its output has the same shape.
        """
        return ops.add(self.body(ops, x), x if self.shortcut is None else self.shortcut(ops, x))
