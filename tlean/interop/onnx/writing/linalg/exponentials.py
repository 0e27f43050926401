"""Exponentials of matrices: scaled by a power of two, a Padé approximant of degree 13, squared as often (Higham 2005); in float64."""

from __future__ import annotations

import math
from typing import Any

from tlean._core.lapack import NORM, PADE
from tlean.ops import Spec

from ..model import ModelWriter
from ..rules import Call, rule
from ..special.reals import Real, looped, where
from .factors import solved
from .rotations import eye, sanitized

#: Beyond so many squarings an exponential is NaN.
_MOST = 2000


@rule("_linalg_expm")
def _expm(w: ModelWriter, c: Call) -> Any:
    shape = c.shape()
    if not math.prod(shape):
        return None
    x, finite = sanitized(Real(w, c.x[0], c.dtype).cast("float64"))
    norm = abs(x).sum(-2, keep=True).top(-1, keep=True)
    finite = finite & norm.finite()
    ratio = norm * (1 / NORM)
    ratio = where((ratio > 1.0) & norm.finite(), ratio, 1.0)
    steps = Real(w, w.op("Ceil", (ratio.log() * (1 / math.log(2))).name))
    # By two powers, as that of a large matrix is below the smallest normal number.
    half = (steps * 0.5).floor()
    a = where(finite, x, 0.0) * (-half).exp2() * (half - steps).exp2()
    one, b = eye(w, shape[-1]), [float(p) for p in PADE]
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    u = a @ (a6 @ (a6 * b[13] + a4 * b[11] + a2 * b[9]) + a6 * b[7] + a4 * b[5] + a2 * b[3] + one * b[1])
    v = a6 @ (a6 * b[12] + a4 * b[10] + a2 * b[8]) + a6 * b[6] + a4 * b[4] + a2 * b[2] + one * b[0]
    spec = Spec(shape, "float64")
    y = Real(w, solved(w, (v - u).name, spec, (v + u).name, spec))

    def step(_: Real, y: Real, left: Real) -> list[Real]:
        return [where(left > 0.0, y @ y, y), left - 1.0]

    made = looped(w, [(y, shape), (steps, (*shape[:-2], 1, 1))], step, _MOST, lambda _, left: (left > 0.0).any())[0]
    return where(finite, made, math.nan).cast(c.dtype).name
