"""Special functions, element by element: of the normal distribution, and of the gamma function."""

from __future__ import annotations

from typing import Protocol

from .ref import Ref


class SpecialOps(Protocol):
    """Special functions."""

    def erfc(self, x: Ref, *, name: str | None = None) -> Ref:
        """Complementary error function: y = 1 − erf x, to the last places for large x too.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: −2/√π · e^(−x²)·g.
        Source: Abramowitz & Stegun 1964, equation 7.1.2.
        """
        ...

    def erfcx(self, x: Ref, *, name: str | None = None) -> Ref:
        """Scaled complementary error function: y = e^(x²)·erfc x, which underflows for no x.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: (2xy − 2/√π)·g.
        """
        ...

    def erfinv(self, x: Ref, *, name: str | None = None) -> Ref:
        """Inverse error function: erf y = x; ±inf at ±1, NaN beyond.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: √π/2 · e^(y²)·g.
        """
        ...

    def ndtr(self, x: Ref, *, name: str | None = None) -> Ref:
        """Normal distribution function: y = ½ erfc(−x/√2), to the last places far into the lower tail.

        Args:
            x: `s`.

        Returns: `s`, in [0, 1].
        Derivative: e^(−x²/2)/√(2π)·g.
        Source: Abramowitz & Stegun 1964, equation 26.2.2.
        """
        ...

    def log_ndtr(self, x: Ref, *, name: str | None = None) -> Ref:
        """Logarithm of the normal distribution function, without underflow.

        Args:
            x: `s`.

        Returns: `s`, at most 0.
        Derivative: e^(−x²/2)/√(2π)/Φ(x)·g.
        """
        ...

    def ndtri(self, x: Ref, *, name: str | None = None) -> Ref:
        """Quantile of the normal distribution: Φ(y) = x; −inf at 0, inf at 1, NaN outside.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: √(2π)·e^(y²/2)·g.
        """
        ...

    def xlogy(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Product with a logarithm: y = a·ln b, and 0 where a = 0, unless b is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: ln b·g to a, 0 where a = 0 and b ≤ 0; a/b·g to b, 0 where both are 0.
        """
        ...

    def xlog1py(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Product with a logarithm: y = a·ln(1 + b), and 0 where a = 0, unless b is NaN.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: ln(1 + b)·g to a, 0 where a = 0 and b ≤ −1; a/(1 + b)·g to b, 0 where a = 0 and b = −1.
        """
        ...

    def lgamma(self, x: Ref, *, name: str | None = None) -> Ref:
        """Logarithm of the gamma function: y = ln |Γ(x)|; inf at 0 and at whole numbers below it.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: ψ(x)·g.
        Source: Abramowitz & Stegun 1964, equation 6.1.41.
        """
        ...

    def digamma(self, x: Ref, *, name: str | None = None) -> Ref:
        """Digamma function: y = ψ(x), the derivative of ln Γ(x); ∓inf at ±0, NaN at whole numbers below it.

        Args:
            x: `s`.

        Returns: `s`.
        Derivative: ψ′(x)·g.
        Source: Abramowitz & Stegun 1964, equation 6.3.18.
        """
        ...

    def polygamma(self, x: Ref, n: int, *, name: str | None = None) -> Ref:
        """Polygamma function: y = ψ⁽ⁿ⁾(x), the derivative of order n of the digamma function.

        Args:
            x: `s`; where x < 0, n is at most 60.
            n: the order, a whole number of at least 1.

        Returns: `s`.
        Raises: OptionError if n is no such number.
        Derivative: ψ⁽ⁿ⁺¹⁾(x)·g.
        Source: Abramowitz & Stegun 1964, equation 6.4.11.
        """
        ...

    def betaln(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Logarithm of the beta function: y = ln Γ(a) + ln Γ(b) − ln Γ(a + b), without the cancellation of large terms.

        Args:
            a, b: arrays that broadcast to a shape `s`.

        Returns: `s`.
        Raises: ShapeError if they do not broadcast.
        Derivative: (ψ(a) − ψ(a + b))·g to a, (ψ(b) − ψ(a + b))·g to b.
        """
        ...


class IncompleteOps(Protocol):
    """Incomplete integrals over whole ones, which are distribution functions, and their inverses."""

    def gammainc(self, a: Ref, x: Ref, *, name: str | None = None) -> Ref:
        """Lower incomplete gamma function: P(a, x) = ∫₀ˣ tᵃ⁻¹e⁻ᵗ dt / Γ(a).

        Args:
            a: the shape, above 0; it broadcasts with x to a shape `s`.
            x: at least 0.

        Returns: `s`; NaN outside of these ranges.
        Raises: ShapeError if they do not broadcast.
        Derivative: xᵃ⁻¹e⁻ˣ/Γ(a)·g to x; to a, an integral that is summed by a quadrature.
        Source: DiDonato & Morris 1986, Computation of the incomplete gamma function ratios and their inverse.
        Example: `gammainc(1, 0)` is `0`.
        """
        ...

    def gammaincc(self, a: Ref, x: Ref, *, name: str | None = None) -> Ref:
        """Upper incomplete gamma function: Q(a, x) = 1 − P(a, x), exact where it is small.

        Args:
            a: the shape, above 0; it broadcasts with x to a shape `s`.
            x: at least 0.

        Returns: `s`; NaN outside of these ranges.
        Raises: ShapeError if they do not broadcast.
        Derivative: minus that of `gammainc`.
        Source: DiDonato & Morris 1986, Computation of the incomplete gamma function ratios and their inverse.
        """
        ...

    def gammaincinv(self, a: Ref, p: Ref, *, name: str | None = None) -> Ref:
        """Inverse of the lower incomplete gamma function: x with P(a, x) = p.

        Args:
            a: the shape, above 0; it broadcasts with p to a shape `s`.
            p: a share, 0 … 1.

        Returns: `s`; NaN outside of these ranges.
        Raises: ShapeError if they do not broadcast.
        Derivative: by the implicit function theorem, to a and p.
        Source: DiDonato & Morris 1986, Computation of the incomplete gamma function ratios and their inverse.
        """
        ...

    def gammainccinv(self, a: Ref, p: Ref, *, name: str | None = None) -> Ref:
        """Inverse of the upper incomplete gamma function: x with Q(a, x) = p.

        Args:
            a: the shape, above 0; it broadcasts with p to a shape `s`.
            p: a share, 0 … 1.

        Returns: `s`; NaN outside of these ranges.
        Raises: ShapeError if they do not broadcast.
        Derivative: by the implicit function theorem, to a and p.
        Source: DiDonato & Morris 1986, Computation of the incomplete gamma function ratios and their inverse.
        """
        ...

    def betainc(self, a: Ref, b: Ref, x: Ref, *, name: str | None = None) -> Ref:
        """Incomplete beta function: I(a, b, x) = ∫₀ˣ tᵃ⁻¹(1 − t)ᵇ⁻¹ dt / B(a, b).

        Args:
            a, b: the shapes, above 0; they broadcast with x to a shape `s`.
            x: 0 … 1.

        Returns: `s`; NaN outside of these ranges.
        Raises: ShapeError if they do not broadcast.
        Derivative: xᵃ⁻¹(1 − x)ᵇ⁻¹/B(a, b)·g to x; to a and b, integrals that are summed by a quadrature.
        Source: DiDonato & Morris 1992, Significant digit computation of the incomplete beta function ratios.
        Example: `betainc(1, 1, 0.25)` is `0.25`.
        """
        ...

    def betaincc(self, a: Ref, b: Ref, x: Ref, *, name: str | None = None) -> Ref:
        """Incomplete beta function's complement: 1 − I(a, b, x), exact where it is small.

        Args:
            a, b: the shapes, above 0; they broadcast with x to a shape `s`.
            x: 0 … 1.

        Returns: `s`; NaN outside of these ranges.
        Raises: ShapeError if they do not broadcast.
        Derivative: minus that of `betainc`.
        Source: DiDonato & Morris 1992, Significant digit computation of the incomplete beta function ratios.
        """
        ...

    def betaincinv(self, a: Ref, b: Ref, p: Ref, *, name: str | None = None) -> Ref:
        """Inverse of the incomplete beta function: x with I(a, b, x) = p.

        Args:
            a, b: the shapes, above 0; they broadcast with p to a shape `s`.
            p: a share, 0 … 1.

        Returns: `s`; NaN outside of these ranges.
        Raises: ShapeError if they do not broadcast.
        Derivative: by the implicit function theorem, to a, b and p.
        """
        ...

    def betainccinv(self, a: Ref, b: Ref, p: Ref, *, name: str | None = None) -> Ref:
        """Inverse of the complement: x with 1 − I(a, b, x) = p.

        Args:
            a, b: the shapes, above 0; they broadcast with p to a shape `s`.
            p: a share, 0 … 1.

        Returns: `s`; NaN outside of these ranges.
        Raises: ShapeError if they do not broadcast.
        Derivative: by the implicit function theorem, to a, b and p.
        """
        ...

    def stdtr(self, df: Ref, x: Ref, *, name: str | None = None) -> Ref:
        """Student's distribution function: the share of t numbers up to x.

        Args:
            df: degrees of freedom, above 0; they broadcast with x to a shape `s`.
            x: any numbers.

        Returns: `s`; NaN where df is not above 0.
        Raises: ShapeError if they do not broadcast.
        Derivative: the density times g to x; to df, an integral that is summed by a quadrature.
        """
        ...

    def stdtrit(self, df: Ref, p: Ref, *, name: str | None = None) -> Ref:
        """Quantile of Student's distribution: the inverse of `stdtr`.

        Args:
            df: degrees of freedom, above 0; they broadcast with p to a shape `s`.
            p: a share, 0 … 1.

        Returns: `s`; NaN outside of these ranges.
        Raises: ShapeError if they do not broadcast.
        Derivative: by the implicit function theorem, to df and p.
        """
        ...
