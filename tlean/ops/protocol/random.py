"""Random numbers: counter-based, so they depend on the seed and the element's index alone, on every backend and at any thread count."""

from __future__ import annotations

from typing import Protocol

from .ref import Index, Ints, Ref


class RandomOps(Protocol):
    """Random numbers. A `seed` is an int or an integer ref; None takes the next seed of the session's stream."""

    def rand_uniform(self, shape: Ints, seed: Index | None = None, dtype: str | None = None, *, name: str | None = None) -> Ref:
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
