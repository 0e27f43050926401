"""Layers of images: resizing, channels to places, responses normalised, dropout of channels; and bags of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tlean.errors import OptionError
from tlean.optim.updates import number

from ..arguments.literals import Bag, Resizing
from .basic import Activation, positive
from .init import Initialiser, normal
from .module import Module

if TYPE_CHECKING:
    from tlean.param import Param


class Upsample(Activation):
    """An image resized along its spatial axes: `interpolate` with these options.

    Args:
        size, scale_factor, mode, align_corners: as for `interpolate`.

    Raises: OptionError unless one of size and scale_factor is given.
    """

    op = "interpolate"

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: Resizing = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise OptionError(f"Upsample: size or scale_factor must be given, and not both, got {size!r} and {scale_factor!r}")
        super().__init__(size=size, scale_factor=scale_factor, mode=mode, align_corners=align_corners)


class _Count(Activation):
    # One option, a number of at least 1.
    option = ""

    def __init__(self, count: int) -> None:
        super().__init__(**{self.option: positive(type(self).__name__, **{self.option: count})[0]})


class PixelShuffle(_Count):
    """r² channels as squares of r × r cells: `(N, C·r², H, W)` → `(N, C, H·r, W·r)`.

    Args:
        count: r.
    """

    op: str
    option: str
    op, option = "pixel_shuffle", "factor"


class PixelUnshuffle(_Count):
    """Squares of r × r cells as r² channels: `(N, C, H·r, W·r)` → `(N, C·r², H, W)`.

    Args:
        count: r.
    """

    op: str
    option: str
    op, option = "pixel_unshuffle", "factor"


class ChannelShuffle(_Count):
    """Channels dealt out: the first of every group, then the second of every group.

    Args:
        count: the number of groups.
    """

    op: str
    option: str
    op, option = "channel_shuffle", "groups"


class LocalResponseNorm(Activation):
    """Each channel over a power of its neighbours' squares, as `local_response_norm`.

    Args:
        size, alpha, beta, k: as for the op.
    """

    op = "local_response_norm"

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__(size=positive("LocalResponseNorm", size=size)[0], alpha=alpha, beta=beta, k=k)


class _Dropout(Module):
    op = ""

    def __init__(self, p: float = 0.5) -> None:
        self.p: float = number(f"{type(self).__name__}: p", p, 0.0, 1.0)

    def forward(self, ops: Any, x: Any) -> Any:
        """The output.

        Args:
            x: what the op takes.
        """
        return getattr(ops, self.op)(x, self.p) if self.p and ops.training(self) else x

    def extra(self) -> str:
        """The probability."""
        return str(self.p)


class AlphaDropout(_Dropout):
    """In training, dropout to a low value that keeps mean 0 and variance 1, as `alpha_dropout`; in evaluation x as it is.

    Args:
        p: the probability that an element is dropped, below 1.
    """

    op = "alpha_dropout"


class FeatureDropout(_Dropout):
    """In training, dropout of whole channels of `(N, C, …)`, as `feature_dropout`; in evaluation x as it is.

    Args:
        p: the probability that a channel is dropped, below 1.
    """

    op = "feature_dropout"


class EmbeddingBag(Module):
    """The rows of a table that each bag of indices names, as one.

    Args:
        count: the number of rows.
        size: the length of a row.
        mode: "sum", "mean" or "max" of a bag's rows.
        weight_init: the rule for the first values; standard normal by default.

    Raises: OptionError for another mode.

    Shapes: indices `(N, n)`, or `(n,)` with offsets `(N,)` → `(N, size)`. Weight `(count, size)`.
    """

    def __init__(self, count: int, size: int, mode: Bag = "mean", weight_init: Initialiser | None = None) -> None:
        positive("EmbeddingBag", count=count, size=size)
        if not isinstance(mode, str) or mode not in ("sum", "mean", "max"):
            raise OptionError(f"EmbeddingBag: mode must be sum, mean or max, got {mode!r}")
        self.mode = mode
        self.weight: Param = self.parameter((count, size), normal() if weight_init is None else weight_init)

    def forward(self, ops: Any, indices: Any, offsets: Any = None) -> Any:
        """A row for each bag.

        Args:
            indices: integers.
            offsets: where each bag begins, for indices of one axis.
        """
        return ops.embedding_bag(self.weight, indices, offsets, self.mode)

    def extra(self) -> str:
        """Sizes and mode."""
        return ", ".join(map(str, self.weight.shape)) + f", mode={self.mode!r}"
