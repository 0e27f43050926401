"""Fourier transforms: of any number of lines, and lanes are more."""

from __future__ import annotations

from typing import Any

from .call import Call, batching


@batching("_fft", "_rfft", "_irfft")
def _along_an_axis(call: Call) -> Any:
    return call.run(call.spread(0), axis=call.options["axis"] + 1)


@batching("_complex_mul")
def _product(call: Call) -> Any:
    return call.run(call.spread(0), call.spread(1))
