"""`tl.cubic_spline` against SciPy, with its derivatives, and `tl.interp` outside programs."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

interpolate = pytest.importorskip("scipy.interpolate")
RNG = np.random.default_rng(3)


def test_lines_are_numpys() -> None:
    xp, fp = np.sort(RNG.uniform(size=7)), RNG.standard_normal(7)
    x = np.concatenate([RNG.uniform(-0.5, 1.5, 20), xp])
    np.testing.assert_allclose(tl.interp(x, xp, fp), np.interp(x, xp, fp), rtol=1e-12)
    np.testing.assert_allclose(tl.interp(x, xp, fp, -5.0, 7.0), np.interp(x, xp, fp, -5.0, 7.0), rtol=1e-12)
    np.testing.assert_allclose(tl.jit(tl.interp)(x, xp, fp), np.interp(x, xp, fp), rtol=1e-12)


@pytest.mark.parametrize("method", ["natural", "not-a-knot"])
@pytest.mark.parametrize("n", [2, 3, 4, 9])
def test_splines_are_scipys(method: str, n: int) -> None:
    xp, fp = np.cumsum(RNG.uniform(0.1, 2.0, n)), RNG.standard_normal(n)
    x = np.concatenate([RNG.uniform(xp[0] - 0.5, xp[-1] + 0.5, 20), xp]).reshape(-1, 2) if n % 2 == 0 else RNG.uniform(xp[0], xp[-1], 20)
    wanted = interpolate.CubicSpline(xp, fp, bc_type=method)
    np.testing.assert_allclose(tl.cubic_spline(x, xp, fp, bc_type=method), wanted(x), rtol=1e-11, atol=1e-11)

    def total(x, xp, fp):
        return tl.sum(tl.sin(tl.cubic_spline(x, xp, fp, bc_type=method)))

    by_x, by_xp, by_fp = tl.grad(total, argnums=(0, 1, 2))(x, xp, fp)
    np.testing.assert_allclose(by_x, np.cos(wanted(x)) * wanted(x, 1), rtol=1e-9, atol=1e-9)
    for k, gradient in ((1, by_xp), (2, by_fp)):
        direction = RNG.standard_normal(n)
        sides = []
        for s in (1e-6, -1e-6):
            points = [xp, fp]
            points[k - 1] = points[k - 1] + s * direction
            sides.append(np.sin(interpolate.CubicSpline(*points, bc_type=method)(np.asarray(x))).sum())
        # A query at a point moves to another piece; both have one value there and one slope.
        np.testing.assert_allclose(np.asarray(gradient) @ direction, (sides[0] - sides[1]) / 2e-6, rtol=2e-5, atol=1e-5)


def test_wrong_points_are_named() -> None:
    with pytest.raises(tl.OptionError, match="bc_type must be one of"):
        tl.cubic_spline(0.5, [0.0, 1.0], [0.0, 1.0], bc_type="cubic")
    with pytest.raises(tl.ShapeError, match="vectors of one length"):
        tl.cubic_spline(0.5, [0.0, 1.0], [0.0, 1.0, 2.0])
