"""Ops of the user's own in drawn programs: plain NumPy behind `tl.custom_op`."""

from __future__ import annotations

import numpy as np

import tlean as tl


def _pick_back(x, k, y, g):
    made = np.zeros_like(x)
    np.add.at(made, k, g)
    return made, None


# Of infinities too, which products come to.
@np.errstate(invalid="ignore")
def _wave(x):
    return np.sin(2 * x)


@np.errstate(invalid="ignore")
def _wave_back(x, y, g):
    return 2 * np.cos(2 * x) * g


@np.errstate(invalid="ignore")
def _wave_along(x, t):
    return 2 * np.cos(2 * x) * t


#: Name → the op, with first derivatives in both directions and no second ones. `own_same` gives back the memory that it was given.
OWN = {
    "own_wave": tl.custom_op(_wave, _wave_back, _wave_along),
    "own_product": tl.custom_op(lambda a, b: a * b, lambda a, b, y, g: (g * b, g * a), lambda a, b, s, t: s * b + a * t),
    "own_total": tl.custom_op(
        lambda x: x.sum(), lambda x, y, g: np.broadcast_to(g, x.shape), lambda x, t: t.sum(), shape=()
    ),
    "own_same": tl.custom_op(lambda x: x, lambda x, y, g: g, lambda x, t: t),
    "own_pick": tl.custom_op(
        lambda x, k: x[k], _pick_back, lambda x, k, t, _: t[k], shape=lambda x, k: (*k, *x[1:])
    ),
}  # fmt: skip
