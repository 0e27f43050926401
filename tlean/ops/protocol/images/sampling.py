"""Images: resized, sampled and arranged. Composites throughout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ....arguments.literals import Border, Resizing, Sampling
from ..ref import Index, Ints, Ref


class ImageOps(Protocol):
    """Images."""

    def interpolate(
        self,
        x: Ref,
        size: Ints | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: Resizing = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool = False,
        antialias: bool = False,
        *,
        name: str | None = None,
    ) -> Ref:
        """Resize an image along its spatial axes.

        Args:
            x: `(N, C, *in)`, d = 1, 2 or 3 spatial axes; `(C, *in)` where size or scale_factor has d entries.
            size: of the result, an int or d of them; or None.
            scale_factor: a number above 0 or d of them instead; the size is rounded down.
            mode: "nearest", the cell at or before; "nearest-exact", the nearest one; "linear", "bilinear", "trilinear" for 1, 2, 3 axes;
                "bicubic" for 2; "area", the mean as of `adaptive_avg_pool`.
            align_corners: whether the first and last cells of both lie upon each other; else the corners of the images do. Not for modes
                nearest, nearest-exact and area.
            recompute_scale_factor: takes the ratio of the sizes for the factor, where it is else the one that is given.
            antialias: must be False.

        Returns: `(N, C, *size)` or `(C, *size)`.
        Raises: OptionError for another mode or for options that do not go together; ShapeError for an empty axis or for another number of
            axes than the mode takes.
        Derivative: g to the cells that were read, by their weights.
        Source: Keys 1981 for "bicubic", with a = −3/4.
        Example: `interpolate([[[0, 2]]], 4, mode="linear")` is `[[[0, 0.5, 1.5, 2]]]`.
        """
        ...

    def grid_sample(
        self,
        x: Ref,
        grid: Ref,
        mode: Sampling = "bilinear",
        padding_mode: Border = "zeros",
        align_corners: bool = False,
        *,
        name: str | None = None,
    ) -> Ref:
        """An image read at the points of a grid.

        Args:
            x: `(N, C, H, W)` or `(N, C, D, H, W)`.
            grid: `(N, *out, 2)` or `(N, *out, 3)`: points, the coordinate along W first; −1 and 1 are the ends of an axis.
            mode: "bilinear", also for three axes; "nearest"; "bicubic" for two.
            padding_mode: what lies outside: "zeros"; "border", the nearest cell; "reflection".
            align_corners: whether the ends of an axis are the middles of its first and last cells, or their outer edges.

        Returns: `(N, C, *out)`.
        Raises: OptionError for another mode; ShapeError if the shapes do not go together or a spatial axis is empty.
        Derivative: to x, g by the weights; to grid, that of the weights, none in mode "nearest".
        Source: Jaderberg et al. 2015, section 3.3.
        """
        ...

    def affine_grid(self, theta: Ref, size: Ints, align_corners: bool = False, *, name: str | None = None) -> Ref:
        """The points for `grid_sample` of an image mapped by matrices: grid[n, …] = theta[n] · (x, y, 1), (x, y) the cell's own place.

        Args:
            theta: `(N, 2, 3)` or `(N, 3, 4)`.
            size: `(N, C, H, W)` or `(N, C, D, H, W)`: of the result of `grid_sample`.
            align_corners: as for `grid_sample`.

        Returns: `(N, H, W, 2)` or `(N, D, H, W, 3)`.
        Raises: ShapeError if theta and size do not go together.
        Source: Jaderberg et al. 2015, equation 1.
        """
        ...

    def pixel_shuffle(self, x: Ref, factor: int, *, name: str | None = None) -> Ref:
        """Channels become places: r² channels a square of r × r cells.

        Args:
            x: `(*k, C·r², H, W)`, of any dtype.
            factor: r.

        Returns: `(*k, C, H·r, W·r)`.
        Raises: ShapeError if r² does not divide the channels; OptionError if factor is < 1.
        Derivative: g moved back.
        Source: Shi et al. 2016.
        """
        ...

    def pixel_unshuffle(self, x: Ref, factor: int, *, name: str | None = None) -> Ref:
        """Places become channels, the inverse of `pixel_shuffle`.

        Args:
            x: `(*k, C, H·r, W·r)`, of any dtype.
            factor: r.

        Returns: `(*k, C·r², H, W)`.
        Raises: ShapeError if r does not divide the last two axes; OptionError if factor is < 1.
        Derivative: g moved back.
        """
        ...

    def channel_shuffle(self, x: Ref, groups: int, *, name: str | None = None) -> Ref:
        """Channels dealt out: the first of every group, then the second of every group, and so on.

        Args:
            x: `(N, C, *in)`, of any dtype.
            groups: how many, dividing C.

        Returns: x's shape.
        Raises: ShapeError if groups does not divide C; OptionError if it is < 1.
        Derivative: g moved back.
        Source: Zhang et al. 2018.
        """
        ...

    def fold(
        self,
        x: Ref,
        size: Ints,
        kernel: Sequence[int],
        stride: Ints = 1,
        padding: Ints = 0,
        dilation: Ints = 1,
        *,
        name: str | None = None,
    ) -> Ref:
        """Windows as columns added up to an image (col2im): the adjoint of `unfold`.

        Args:
            x: `(*k, C·cells, windows)`.
            size: of the result along each spatial axis.
            kernel, stride, padding, dilation: as for `unfold`.

        Returns: `(*k, C, *size)`.
        Raises: ShapeError if x does not have a row for each cell of a window and a column for each window.
        Derivative: `unfold` of g.
        Example: `fold([[1, 2], [3, 4]], (3,), (2,))` is `[[1, 5, 4]]`.
        """
        ...

    def local_response_norm(
        self, x: Ref, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, *, name: str | None = None
    ) -> Ref:
        """Each channel over a power of its neighbours' squares: y = x / (k + α·mean of x² over `size` channels)^β, zeros beyond the ends.

        Args:
            x: `(N, C, *in)`.
            size: the number of channels, from ⌊size/2⌋ before.
            alpha, beta, k: plain numbers.

        Returns: x's shape.
        Raises: ShapeError if x has no channels; OptionError if size is < 1.
        Source: Krizhevsky, Sutskever & Hinton 2012, section 3.3.
        """
        ...

    def alpha_dropout(self, x: Ref, p: float = 0.5, seed: Index | None = None, train: bool = True, *, name: str | None = None) -> Ref:
        """Dropout for self-normalising networks: a·x + b, or a·α′ + b where it is dropped; α′ = −1.758…, a and b keep mean and variance.

        Args:
            x: `s`.
            p: the probability that an element is dropped, in [0, 1).
            seed: `()`, integer, or None.
            train: False turns the op into the identity.

        Returns: `s`.
        Raises: OptionError if p is outside [0, 1).
        Derivative: a·g where x is kept, 0 elsewhere.
        Source: Klambauer et al. 2017.
        """
        ...

    def feature_dropout(self, x: Ref, p: float = 0.5, seed: Index | None = None, train: bool = True, *, name: str | None = None) -> Ref:
        """Dropout of whole channels of each image.

        Args:
            x: `(N, C, *in)`.
            p: the probability that a channel is dropped, in [0, 1); the others are divided by 1 − p.
            seed: `()`, integer, or None.
            train: False turns the op into the identity.

        Returns: x's shape.
        Raises: OptionError if p is outside [0, 1); ShapeError if x has no channels.
        Derivative: as of `dropout`.
        Source: Tompson et al. 2015.
        """
        ...
