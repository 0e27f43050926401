"""Random numbers: counter-based, so they depend on the seed and the element's index alone, on every backend and at any thread count."""

from __future__ import annotations

from typing import Protocol

from ...arguments.literals import DTypeName, FloatName
from .ref import Index, Ints, Ref


class RandomOps(Protocol):
    """Random numbers. A `seed` is an int or an integer ref; None takes the next seed of the session's stream."""

    def rand_uniform(self, shape: Ints, seed: Index | None = None, dtype: FloatName | None = None, *, name: str | None = None) -> Ref:
        """Uniform random numbers in [0, 1); never 1.

        Element i, in row-major order, comes from Philox4x32-10 with the seed as key and the block's index as counter: in float32 the upper
        24 bits of word i mod 4 of block ⌊i/4⌋, times 2⁻²⁴; in float64 the upper 53 bits of two words of block ⌊i/2⌋, times 2⁻⁵³.

        Args:
            shape: the shape of the result.
            seed: `()`, integer, or None.
            dtype: "float32" or "float64"; None for the program's.

        Returns: `shape`.
        Derivative: none.
        Source: Salmon et al. 2011, section 4.
        """
        ...

    def bernoulli_mask(self, keep_prob: Ref, shape: Ints, seed: Index | None = None, *, name: str | None = None) -> Ref:
        """Random zeros and ones: y = 1 where u < keep_prob, else 0, u being `rand_uniform(shape, seed)`.

        Args:
            keep_prob: `()`, the probability of a 1.
            shape: the shape of the result.
            seed: `()`, integer, or None.

        Returns: `shape`, of the float dtype.
        Derivative: none, to keep_prob neither.
        """
        ...

    def dropout(self, x: Ref, p: float, seed: Index | None = None, train: bool = True, *, name: str | None = None) -> Ref:
        """Dropout: y = x·mask/(1 − p), mask being `bernoulli_mask(1 − p, x.shape, seed)`; y = x with `train=False`.

        Args:
            x: `s`.
            p: the probability that an element is dropped, in [0, 1).
            seed: `()`, integer, or None.
            train: False turns the op into the identity.

        Returns: `s`.
        Raises: OptionError if p is outside [0, 1).
        Derivative: g·mask/(1 − p), with the same mask.
        Source: Srivastava et al. 2014.
        """
        ...

    def random_uniform(
        self,
        shape: Ints | None = None,
        low: Ref | float = 0.0,
        high: Ref | float = 1.0,
        seed: Index | None = None,
        dtype: FloatName | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Uniform random numbers: y = low + (high − low)·u, u being `rand_uniform`. `random_uniform((3,), -1.0, 1.0)`.

        Args:
            shape: of the result; None is that to which the parameters broadcast.
            low, high: the bounds, plain numbers or arrays that broadcast to the shape. Rounding may give `high` itself.
            seed: `()`, integer, or None.
            dtype: "float32" or "float64"; None is the parameters' float dtype, and with plain numbers alone the program's.

        Returns: `shape`.
        Derivative: to low and high, that of low + (high − low)·u.
        """
        ...

    def random_normal(
        self,
        shape: Ints | None = None,
        loc: Ref | float = 0.0,
        scale: Ref | float = 1.0,
        seed: Index | None = None,
        dtype: FloatName | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Normal random numbers: y = loc + scale·z. `random_normal((3,))`; `random_normal(loc=mean, scale=std)` has the arrays' shape.

        Elements 2i and 2i + 1 of z are √(−2 ln u)·cos φ and √(−2 ln u)·sin φ. In float32 u and φ are of words 0 and 1, or 2 and 3, of block
        ⌊i/2⌋ of Philox4x32-10; in float64 of words 0, 1 and 2, 3 of block i.

        Args:
            shape: of the result; None is that to which the parameters broadcast.
            loc, scale: mean and standard deviation, plain numbers or arrays that broadcast to the shape.
            seed: `()`, integer, or None.
            dtype: "float32" or "float64"; None is the parameters' float dtype, and with plain numbers alone the program's.

        Returns: `shape`.
        Derivative: to loc and scale, that of loc + scale·z.
        Source: Box and Muller 1958.
        """
        ...

    def random_truncated_normal(
        self,
        shape: Ints | None = None,
        loc: Ref | float = 0.0,
        scale: Ref | float = 1.0,
        low: Ref | float = -2.0,
        high: Ref | float = 2.0,
        seed: Index | None = None,
        dtype: FloatName | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Normal random numbers between two bounds. `random_truncated_normal((3,), 0.0, 0.02, -0.04, 0.04)`.

        Args:
            shape: of the result; None is that to which the parameters broadcast.
            loc, scale: mean and standard deviation before the bounds.
            low, high: the bounds of y, which may be infinite. An interval so far out that the dtype has no number for its probability
                (13 scales from loc in float32, 37 in float64) gives its bound nearest loc.
            seed: `()`, integer, or None.
            dtype: "float32" or "float64"; None is the parameters' float dtype, and with plain numbers alone the program's.

        Returns: `shape`.
        Derivative: to loc, scale, low and high, at a held probability.
        """
        ...

    def random_exponential(
        self,
        shape: Ints | None = None,
        scale: Ref | float = 1.0,
        seed: Index | None = None,
        dtype: FloatName | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Exponential random numbers: y = −scale·ln(1 − u). `random_exponential((3,), 2.0)` has mean 2.

        Args:
            shape: of the result; None is that to which the parameters broadcast.
            scale: the mean.
            seed: `()`, integer, or None.
            dtype: "float32" or "float64"; None is the parameters' float dtype, and with plain numbers alone the program's.

        Returns: `shape`, at least 0.
        Derivative: to scale, y/scale.
        """
        ...

    def random_gumbel(
        self,
        shape: Ints | None = None,
        loc: Ref | float = 0.0,
        scale: Ref | float = 1.0,
        seed: Index | None = None,
        dtype: FloatName | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Gumbel random numbers: y = loc − scale·ln(−ln u). `argmax(logits + random_gumbel(logits.shape))` is a class by its logits.

        Args:
            shape: of the result; None is that to which the parameters broadcast.
            loc, scale: plain numbers or arrays that broadcast to the shape.
            seed: `()`, integer, or None.
            dtype: "float32" or "float64"; None is the parameters' float dtype, and with plain numbers alone the program's.

        Returns: `shape`.
        Derivative: to loc and scale.
        """
        ...

    def random_gamma(
        self,
        concentration: Ref | float,
        shape: Ints | None = None,
        scale: Ref | float = 1.0,
        seed: Index | None = None,
        dtype: FloatName | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Gamma random numbers, of density xᵃ⁻¹e⁻ˣ/Γ(a) for a concentration a, times scale. `random_gamma(2.5, (3,))`.

        Args:
            concentration: above 0; NaN comes of another.
            shape: of the result; None is that to which the parameters broadcast.
            scale: a factor.
            seed: `()`, integer, or None.
            dtype: "float32" or "float64"; None is the parameters' float dtype, and with plain numbers alone the program's.

        Returns: `shape`, at least 0.
        Derivative: to scale, y/scale; to concentration, at a held probability of the number that was drawn (for a below 1, of the one of
            concentration a + 1 that it is made of), of any order.
        Source: Marsaglia and Tsang 2000; Figurnov, Mohamed and Mnih 2018.
        """
        ...

    def random_beta(
        self,
        a: Ref | float,
        b: Ref | float,
        shape: Ints | None = None,
        seed: Index | None = None,
        dtype: FloatName | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Beta random numbers, of density xᵃ⁻¹(1 − x)ᵇ⁻¹/B(a, b). `random_beta(2.0, 3.0, (5,))`.

        Args:
            a, b: above 0, plain numbers or arrays that broadcast to the shape.
            shape: of the result; None is that to which the parameters broadcast.
            seed: `()`, integer, or None.
            dtype: "float32" or "float64"; None is the parameters' float dtype, and with plain numbers alone the program's.

        Returns: `shape`, in [0, 1].
        Derivative: to a and b, through the two gamma numbers of which y is a share.
        """
        ...

    def random_dirichlet(
        self,
        concentration: Ref,
        shape: Ints | None = None,
        seed: Index | None = None,
        dtype: FloatName | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Dirichlet random vectors along the last axis: shares of gamma numbers. `random_dirichlet([1.0, 2.0], (5,))` has shape (5, 2).

        Args:
            concentration: `(*b, k)`, above 0.
            shape: of the result without its last axis; None is `*b`, which broadcasts to it.
            seed: `()`, integer, or None.
            dtype: "float32" or "float64"; None is the parameters' float dtype, and with plain numbers alone the program's.

        Returns: `(*shape, k)`, of sum 1 along the last axis.
        Derivative: to concentration, through the gamma numbers.
        """
        ...

    def random_bernoulli(
        self, p: Ref | float = 0.5, shape: Ints | None = None, seed: Index | None = None, *, name: str | None = None
    ) -> Ref:
        """Random Booleans: whether u < p, u being `rand_uniform`. `random_bernoulli(0.1, (3,))`.

        Args:
            p: the probability of True.
            shape: of the result; None is that to which the parameters broadcast.
            seed: `()`, integer, or None.

        Returns: `shape`, bool.
        Derivative: none.
        """
        ...

    def random_poisson(self, rate: Ref | float, shape: Ints | None = None, seed: Index | None = None, *, name: str | None = None) -> Ref:
        """Poisson random counts. `random_poisson(4.0, (3,))` has mean 4.

        Args:
            rate: the mean, at least 0.
            shape: of the result; None is that to which the parameters broadcast.
            seed: `()`, integer, or None.

        Returns: `shape`, int64; −1 for a rate below 0, above 2⁵³ or NaN.
        Derivative: none.
        Source: Hörmann 1993.
        """
        ...

    def random_randint(
        self, low: int, high: int, shape: Ints = (), seed: Index | None = None, dtype: DTypeName = "int64", *, name: str | None = None
    ) -> Ref:
        """Random integers from low up to high, without high. `random_randint(1, 7, (3,))` throws dice.

        Element i is low + ⌊w·(high − low)/2⁶⁴⌋, w being words 0, 1 or 2, 3 of block ⌊i/2⌋ of Philox4x32-10.

        Args:
            low, high: ints, less than 2⁶³ apart.
            shape: of the result.
            seed: `()`, integer, or None.
            dtype: "int64" or "int32".

        Returns: `shape`, of that dtype.
        Raises: OptionError unless low is below high and both fit.
        Derivative: none.
        """
        ...

    def random_permutation(self, x: Ref | int, axis: int = 0, seed: Index | None = None, *, name: str | None = None) -> Ref:
        """The entries of an array along an axis in random order; for an int n, the numbers 0 … n − 1. `random_permutation(5)`.

        Args:
            x: an array, or an int.
            axis: of the array.
            seed: `()`, integer, or None.

        Returns: x's shape and dtype; `(n,)`, int64, for an int.
        Raises: IndexRangeError if there is no such axis.
        Derivative: to x, that of `take`.
        """
        ...

    def random_choice(
        self,
        x: Ref | int,
        shape: Ints = (),
        replace: bool = True,
        p: Ref | None = None,
        seed: Index | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Entries of an array along its first axis, drawn at random; for an int n, of 0 … n − 1. `random_choice(10, (3,), False)`.

        Args:
            x: `(n, *k)`, or an int.
            shape: how many to draw.
            replace: whether an entry may come more than once.
            p: `(n,)`, of the entries' weights; None: all alike. Without replacement each draw is by the weights of what is left.
            seed: `()`, integer, or None.

        Returns: `(*shape, *k)`; int64 for an int.
        Raises: OptionError for more than n without replacement; ShapeError for another p.
        Derivative: to x, that of `take`.
        """
        ...

    def random_categorical(self, logits: Ref, shape: Ints | None = None, seed: Index | None = None, *, name: str | None = None) -> Ref:
        """Random classes: class j with a probability in proportion to exp(logits[…, j]). `random_categorical(logits, (5,))`.

        Args:
            logits: `(*b, k)`, of which −inf excludes a class.
            shape: of the result; None is `*b`, which broadcasts to it.
            seed: `()`, integer, or None.

        Returns: `shape`, int64.
        Derivative: none.
        """
        ...

    def random_multinomial(self, n: int, p: Ref, shape: Ints | None = None, seed: Index | None = None, *, name: str | None = None) -> Ref:
        """How often each class comes in n draws. `random_multinomial(100, [0.2, 0.8])`.

        Args:
            n: how many draws.
            p: `(*b, k)`, weights of the classes along the last axis, of any sum.
            shape: of the result without its last axis; None is `*b`, which broadcasts to it.
            seed: `()`, integer, or None.

        Returns: `(*shape, k)`, int64, of sum n along the last axis.
        Derivative: none.
        """
        ...
