"""Convolutions, their transposes, and pools; channels first, with or without a batch axis."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tlean.arguments import truth, whole
from tlean.errors import OptionError, ShapeError
from tlean.optim.updates import number

from ..arguments.literals import Cover, LayerPadding
from .basic import DEFAULT_WEIGHT, default_bias, positive
from .init import Initialiser
from .module import Module, shape_of

if TYPE_CHECKING:
    from tlean.param import Param


Ints = int | Sequence[int]


def spread(name: str, value: Ints, d: int) -> tuple[int, ...]:
    """One number for each of d axes. Raises: OptionError if there are not d."""
    try:
        values = (operator.index(value),) * d if hasattr(value, "__index__") else tuple(map(operator.index, value))  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        # The second is what a memoryview of several axes raises.
        raise OptionError(f"{name} must be an int, or {d} of them, got {value!r}") from None
    if len(values) != d:
        raise OptionError(f"{name} must have {d} entries, got {value!r}")
    return values


#: What lies around an image -> the mode of `pad_by`.
_PADDING_MODES = {"zeros": "", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Conv(Module):
    outputs: int
    padding_mode: LayerPadding
    d = 0
    transposed = False

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Ints,
        stride: Ints = 1,
        padding: Ints | Cover = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        weight_init: Initialiser = DEFAULT_WEIGHT,
        bias_init: Initialiser | None = None,
        padding_mode: LayerPadding = "zeros",
    ) -> None:
        name = type(self).__name__
        if not isinstance(padding_mode, str) or padding_mode not in _PADDING_MODES:
            raise OptionError(f"{name}: padding_mode must be one of {', '.join(_PADDING_MODES)}, got {padding_mode!r}")
        inputs, outputs, groups = positive(name, inputs=inputs, outputs=outputs, groups=groups)
        window = spread(f"{name}: kernel", kernel, self.d)
        positive(name, **{f"kernel[{k}]": n for k, n in enumerate(window)})
        if inputs % groups or outputs % groups:
            raise ShapeError(f"{name}: groups divides both channel counts, got {inputs} -> {outputs} in {groups}")
        first, second = (inputs, outputs // groups) if self.transposed else (outputs, inputs // groups)
        self.weight: Param = self.parameter((first, second, *window), weight_init)
        rule = default_bias(second * math.prod(window)) if bias_init is None else bias_init
        self.bias: Param | None = self.parameter((outputs,), rule) if truth(f"{name}: bias", bias) else None
        if isinstance(padding, str):
            if self.transposed or padding not in ("same", "valid"):
                words = "" if self.transposed else ", 'same' or 'valid'"
                raise OptionError(f"{name}: padding must be an int, or one for each axis{words}, got {padding!r}")
            if padding == "same" and any(s != 1 for s in spread(f"{name}: stride", stride, self.d)):
                raise OptionError(f"{name}: padding='same' must go with a stride of 1, got {stride!r}")
        self.options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self.outputs, self.padding_mode = outputs, padding_mode

    def _padded(self, ops: Any, x: Any) -> Any:
        """x with the cells around it that the padding mode makes."""
        kernel, padding = self.weight.shape[2:], self.options["padding"]
        if isinstance(padding, str):
            spans = [r * (k - 1) for r, k in zip(spread("dilation", self.options["dilation"], self.d), kernel, strict=True)]
            widths = [(n // 2, n - n // 2) if padding == "same" else (0, 0) for n in spans]
        else:
            widths = [(p, p) for p in spread(f"{type(self).__name__}: padding", padding, self.d)]
        lead = len(x.shape) - self.d
        return ops.pad_by(x, ((0, 0),) * lead + tuple(widths), _PADDING_MODES[self.padding_mode])

    def forward(self, ops: Any, x: Any) -> Any:
        """The output."""
        if len(shape_of(self, x)) not in (self.d + 1, self.d + 2):
            raise ShapeError(
                f"{type(self).__name__}: x must have {self.d} spatial axes, channels and perhaps a batch, got x: {shape_of(self, x)}"
            )
        if self.padding_mode != "zeros":
            return ops.conv(self.weight, self.bias, self._padded(ops, x), **{**self.options, "padding": 0})
        return (ops.conv_transpose if self.transposed else ops.conv)(self.weight, self.bias, x, **self.options)

    def extra(self) -> str:
        """Sizes and options that are not the defaults."""
        inputs = self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.options["groups"]
        default = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
        parts = [str(inputs), str(self.outputs), str(self.weight.shape[2:])]
        parts += [f"{k}={v}" for k, v in self.options.items() if v != default[k]]
        parts += [] if self.padding_mode == "zeros" else [f"padding_mode={self.padding_mode!r}"]
        return ", ".join(parts + ([] if self.bias else ["bias=False"]))


class Conv1d(_Conv):
    """Cross-correlation over one axis; see `Conv2d`. x `(N, inputs, L)` or `(inputs, L)`."""

    d = 1


class Conv2d(_Conv):
    """Cross-correlation over two axes.

    Args:
        inputs, outputs: channels.
        kernel, stride, padding, dilation: an int or one for each axis; padding also "valid", which is 0, or "same", with which the output
            is as long as the input (at stride 1).
        groups: the channels are convolved in this many separate groups.
        bias: whether to add a number per channel.
        weight_init, bias_init: rules for the first values; uniform in ±1/√fan-in by default.
        padding_mode: what the padding holds: "zeros"; "reflect", "replicate" or "circular", as the modes "reflect", "edge" and "wrap" of
            `pad_by`.

    Shapes: x `(N, inputs, H, W)` or `(inputs, H, W)`; weight `(outputs, inputs/groups, *kernel)`, bias `(outputs,)`.

    Example:
        >>> layer = tl.nn.Conv2d(3, 8, 3, padding=1).init(0)
        >>> layer.predict(np.ones((2, 3, 16, 16), np.float32)).shape
        (2, 8, 16, 16)
    """

    d = 2


class Conv3d(_Conv):
    """Cross-correlation over three axes; see `Conv2d`. x `(N, inputs, D, H, W)` or without N."""

    d = 3


class _ConvTranspose(_Conv):
    transposed = True

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        weight_init: Initialiser = DEFAULT_WEIGHT,
        bias_init: Initialiser | None = None,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, dilation, groups, bias, weight_init, bias_init)
        self.options["output_padding"] = output_padding


class ConvTranspose1d(_ConvTranspose):
    """The adjoint of `Conv1d` in its input; see `ConvTranspose2d`."""

    d = 1


class ConvTranspose2d(_ConvTranspose):
    """The adjoint of `Conv2d` in its input: with a stride it enlarges.

    Args: as `Conv2d`; output_padding: rows added at the end of each axis, to tell apart the sizes that a stride maps to one.

    Shapes: x `(N, inputs, H, W)` or without N; weight `(inputs, outputs/groups, *kernel)`, bias `(outputs,)`.
    """

    d = 2


class ConvTranspose3d(_ConvTranspose):
    """The adjoint of `Conv3d` in its input; see `ConvTranspose2d`."""

    d = 3


class _Pool(Module):
    d = 0
    op = ""

    def __init__(self, kernel: Ints, stride: Ints | None, padding: Ints, **options: Any) -> None:
        name = type(self).__name__
        self.kernel: tuple[int, ...] = spread(f"{name}: kernel", kernel, self.d)
        self.stride: tuple[int, ...] = self.kernel if stride is None else spread(f"{name}: stride", stride, self.d)
        self.padding: tuple[int, ...] = spread(f"{name}: padding", padding, self.d)
        flags = ("ceil_mode", "count_include_pad")
        self.options: dict[str, bool | Any] = {k: truth(f"{name}: {k}", v) if k in flags else v for k, v in options.items()}
        if options.get("divisor_override") is not None:
            self.options["divisor_override"] = whole(f"{name}: divisor_override", options["divisor_override"])

    def forward(self, ops: Any, x: Any) -> Any:
        """The output."""
        return getattr(ops, self.op)(x, self.kernel, self.stride, self.padding, **self.options)

    def extra(self) -> str:
        """The window, and options that are not the defaults."""
        parts = [f"{self.kernel}, stride={self.stride}"] + ([f"padding={self.padding}"] if any(self.padding) else [])
        return ", ".join(parts + [f"{k}={v}" for k, v in self.options.items() if v != _POOL_DEFAULTS[k]])


_POOL_DEFAULTS = {"dilation": 1, "ceil_mode": False, "count_include_pad": True, "divisor_override": None}


class _MaxPool(_Pool):
    op = "max_pool"

    def __init__(self, kernel: Ints, stride: Ints | None = None, padding: Ints = 0, dilation: Ints = 1, ceil_mode: bool = False) -> None:
        super().__init__(kernel, stride, padding, dilation=dilation, ceil_mode=ceil_mode)


class MaxPool1d(_MaxPool):
    """Maximum over windows of one axis; padded cells never win. Stride: the kernel's size by default; options as of `max_pool`."""

    d = 1


class MaxPool2d(_MaxPool):
    """Maximum over windows of two axes; padded cells never win. Stride: the kernel's size by default; options as of `max_pool`."""

    d = 2


class MaxPool3d(_MaxPool):
    """Maximum over windows of three axes; padded cells never win. Stride: the kernel's size by default; options as of `max_pool`."""

    d = 3


class _LPPool(Module):
    p: float
    ceil_mode: bool
    d = 0

    def __init__(self, p: float, kernel: Ints, stride: Ints | None = None, ceil_mode: bool = False) -> None:
        name = type(self).__name__
        if not number(f"{name}: p", p) > 0:
            raise OptionError(f"{name}: p must be above 0, got {p!r}")
        self.p, self.ceil_mode = float(p), truth(f"{name}: ceil_mode", ceil_mode)
        self.kernel: tuple[int, ...] = spread(f"{name}: kernel", kernel, self.d)
        self.stride: tuple[int, ...] = self.kernel if stride is None else spread(f"{name}: stride", stride, self.d)

    def forward(self, ops: Any, x: Any) -> Any:
        """The output."""
        return ops.lp_pool(x, self.p, self.kernel, self.stride, self.ceil_mode)

    def extra(self) -> str:
        """The norm and the window."""
        return f"{self.p}, {self.kernel}, stride={self.stride}" + (", ceil_mode=True" if self.ceil_mode else "")


class LPPool1d(_LPPool):
    """The p-norm over windows of one axis, as of `lp_pool`. Stride: the kernel's size by default."""

    d = 1


class LPPool2d(_LPPool):
    """The p-norm over windows of two axes, as of `lp_pool`. Stride: the kernel's size by default."""

    d = 2


class LPPool3d(_LPPool):
    """The p-norm over windows of three axes, as of `lp_pool`. Stride: the kernel's size by default."""

    d = 3


class _AvgPool(_Pool):
    op = "avg_pool"

    def __init__(
        self,
        kernel: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        options = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad, "divisor_override": divisor_override}
        super().__init__(kernel, stride, padding, **options)


class AvgPool1d(_AvgPool):
    """Mean over windows of one axis; padded zeros count. Stride: the kernel's size by default; options as of `avg_pool`."""

    d = 1


class AvgPool2d(_AvgPool):
    """Mean over windows of two axes; padded zeros count. Stride: the kernel's size by default; options as of `avg_pool`."""

    d = 2


class AvgPool3d(_AvgPool):
    """Mean over windows of three axes; padded zeros count. Stride: the kernel's size by default; options as of `avg_pool`."""

    d = 3


class _AdaptivePool(Module):
    d = 0
    op = ""

    def __init__(self, size: int | Sequence[int | None] | None) -> None:
        sizes = tuple(size) if isinstance(size, Sequence) else (size,) * self.d
        self.size: tuple[int | None, ...] = tuple(None if n is None else positive(type(self).__name__, size=n)[0] for n in sizes)
        if len(sizes) != self.d:
            raise OptionError(f"{type(self).__name__}: size must have {self.d} entries, got {size!r}")

    def forward(self, ops: Any, x: Any) -> Any:
        """The output."""
        return getattr(ops, self.op)(x, self.size)

    def extra(self) -> str:
        """The number of windows."""
        return str(self.size)


class AdaptiveAvgPool1d(_AdaptivePool):
    """Mean over `size` windows that cover an axis; None keeps it as it is."""

    d: int
    op: str
    d, op = 1, "adaptive_avg_pool"


class AdaptiveAvgPool2d(_AdaptivePool):
    """Mean over `size` windows that cover each of two axes, an int or two; None keeps an axis as it is."""

    d: int
    op: str
    d, op = 2, "adaptive_avg_pool"


class AdaptiveAvgPool3d(_AdaptivePool):
    """Mean over `size` windows that cover each of three axes, an int or three; None keeps an axis as it is."""

    d: int
    op: str
    d, op = 3, "adaptive_avg_pool"


class AdaptiveMaxPool1d(_AdaptivePool):
    """Maximum over `size` windows that cover an axis; None keeps it as it is."""

    d: int
    op: str
    d, op = 1, "adaptive_max_pool"


class AdaptiveMaxPool2d(_AdaptivePool):
    """Maximum over `size` windows that cover each of two axes, an int or two; None keeps an axis as it is."""

    d: int
    op: str
    d, op = 2, "adaptive_max_pool"


class AdaptiveMaxPool3d(_AdaptivePool):
    """Maximum over `size` windows that cover each of three axes, an int or three; None keeps an axis as it is."""

    d: int
    op: str
    d, op = 3, "adaptive_max_pool"


class _GlobalPool(Module):
    op = ""

    def __init__(self, d: int = 2) -> None:
        positive(type(self).__name__, d=d)
        self.d = d

    def forward(self, ops: Any, x: Any) -> Any:
        """The output."""
        rank = len(shape_of(self, x))
        if rank <= self.d:
            raise ShapeError(f"{type(self).__name__}: x must have channels before {self.d} spatial axes, got x: {shape_of(self, x)}")
        return getattr(ops, self.op)(x, tuple(range(rank - self.d, rank)))

    def extra(self) -> str:
        """The number of spatial axes."""
        return str(self.d)


class GlobalAvgPool(_GlobalPool):
    """Mean over the last d axes: `(N, C, *in)` → `(N, C)`."""

    op = "reduce_mean"


class GlobalMaxPool(_GlobalPool):
    """Maximum over the last d axes: `(N, C, *in)` → `(N, C)`."""

    op = "reduce_max"
