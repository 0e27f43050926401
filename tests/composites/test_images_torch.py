"""Images resized, sampled and arranged against PyTorch, over calls that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where PyTorch is installed")
F = torch.nn.functional

from support.torch_parity import check_parity  # noqa: E402 - it imports PyTorch

SMOOTH = {1: ["linear"], 2: ["bilinear", "bicubic"], 3: ["trilinear"]}


@pytest.mark.parametrize("seed", range(12))
def test_interpolate(seed):
    rng = np.random.default_rng(seed)
    d = 1 + seed % 3
    sizes = tuple(int(n) for n in rng.integers(1, 8, d))
    x = rng.normal(size=(2, 2, *sizes))
    for mode in ["nearest", "nearest-exact", "area", *SMOOTH[d]]:
        align = bool(rng.integers(2)) if mode in SMOOTH[d] else None
        recompute = None
        # PyTorch's VJP of "nearest" over three axes is not the transpose of its values where the factors differ.
        if rng.integers(2) or (mode == "nearest" and d == 3):
            how = (tuple(int(n) for n in rng.integers(1, 12, d)), None)
        else:
            how = (None, tuple(float(f) for f in rng.choice([1.0, 1.5, 2.0, 2.3, 3.7], d)))
            recompute = bool(rng.integers(2))
        check_parity(
            lambda o, x, how=how, mode=mode, align=align, again=bool(recompute): o.interpolate(x, *how, mode, align, again),
            lambda x, how=how, mode=mode, align=align, again=recompute: F.interpolate(x, *how, mode, align, again),
            [x],
            second=False,
        )


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic", "trilinear"])
def test_grid_sample(mode, padding):
    align = (mode == "nearest") != (padding == "reflection")
    rng = np.random.default_rng(0)
    d = 3 if mode == "trilinear" else 2
    mode = "bilinear" if d == 3 else mode
    x, grid = rng.normal(size=(2, 3, 4, 5, 3)[: d + 2]), rng.uniform(-2.2, 2.2, (*(2, 3, 4, 2)[: d + 1], d))
    check_parity(
        lambda o, x, grid: o.grid_sample(x, grid, mode, padding, align),
        lambda x, grid: F.grid_sample(x, grid, mode, padding, align),
        [x, grid],
        second=mode == "bilinear" and d == 2,
    )


@pytest.mark.filterwarnings("ignore:Since version 1.3.0:UserWarning")
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 1, 3), (2, 1, 3, 1, 4)])
def test_affine_grid(size, align):
    d = len(size) - 2
    theta = np.random.default_rng(0).normal(size=(2, d, d + 1))
    check_parity(lambda o, t: o.affine_grid(t, size, align), lambda t: F.affine_grid(t, size, align), [theta])


def test_cells_are_moved():
    rng = np.random.default_rng(0)
    check_parity(lambda o, x: o.pixel_shuffle(x, 2), lambda x: F.pixel_shuffle(x, 2), [rng.normal(size=(2, 2, 8, 3, 2))])
    check_parity(lambda o, x: o.pixel_unshuffle(x, 2), lambda x: F.pixel_unshuffle(x, 2), [rng.normal(size=(2, 2, 4, 6))])
    # PyTorch has no derivative of a derivative of this one.
    check_parity(lambda o, x: o.channel_shuffle(x, 3), lambda x: F.channel_shuffle(x, 3), [rng.normal(size=(2, 6, 4, 2))], second=False)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", [0, 2])
def test_fold(padding, dilation):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 3, 7, 8))
    columns = F.unfold(torch.tensor(image), (2, 3), dilation, padding, (2, 1)).numpy()
    check_parity(
        lambda o, x: o.fold(x, (7, 8), (2, 3), (2, 1), padding, dilation),
        lambda x: F.fold(x, (7, 8), (2, 3), dilation, padding, (2, 1)),
        [columns],
    )


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_local_response_norm(n):
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 2))
    check_parity(lambda o, x: o.local_response_norm(x, n, 0.7, 0.6, 1.3), lambda x: F.local_response_norm(x, n, 0.7, 0.6, 1.3), [x])


def test_dropout_of_other_kinds():
    x = np.random.default_rng(0).normal(size=(40, 50, 30)).astype("float32")
    y = np.asarray(tl.alpha_dropout(x, 0.3, 7))
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.03
    values, counts = np.unique(y, return_counts=True)
    low = values[counts.argmax()]
    a = 1 / np.sqrt(0.7 * (1 + 0.3 * 1.7580993408473766**2))
    assert low == pytest.approx(-1.7580993408473766 * a * 0.7, rel=1e-5)
    kept = y != low
    np.testing.assert_allclose(y[kept], a * x[kept] + 1.7580993408473766 * a * 0.3, rtol=1e-5, atol=1e-5)
    z = np.asarray(tl.feature_dropout(x, 0.25, 3))
    whole = (z != 0).reshape(2000, 30).sum(1)
    assert set(whole.tolist()) == {0, 30}
    assert 0.2 < (whole == 0).mean() < 0.3
    np.testing.assert_allclose(z[z != 0], x[z != 0] / 0.75, rtol=1e-6)
    for op in (tl.alpha_dropout, tl.feature_dropout):
        assert np.asarray(op(x, 0.5, 1, False)).tobytes() == x.tobytes()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda o, x: o.interpolate(x, 4, antialias=True), tl.OptionError, "antialias must be False"),
        (lambda o, x: o.interpolate(x, 4, mode="cubic"), tl.OptionError, "mode must be one of"),
        (lambda o, x: o.interpolate(x, 4, 2.0), tl.OptionError, "and not both"),
        (lambda o, x: o.interpolate(x, 4, mode="area", align_corners=False), tl.OptionError, "align_corners must be left out"),
        (lambda o, x: o.interpolate(x, 4, mode="linear"), tl.ShapeError, "1 spatial axes for mode linear, not 2"),
        (lambda o, x: o.interpolate(x, scale_factor=0.1), tl.ShapeError, "at least one cell"),
        (lambda o, x: o.grid_sample(x, np.zeros((1, 2, 2, 3))), tl.ShapeError, "grid"),
        (lambda o, x: o.grid_sample(x, np.zeros((2, 2, 2, 2)), "cubic"), tl.OptionError, "mode must be one of"),
        (lambda o, x: o.affine_grid(x, (2, 1, 3, 3)), tl.ShapeError, "theta must have the shape"),
        (lambda o, x: o.pixel_shuffle(x, 2), tl.ShapeError, "factor squared must divide"),
        (lambda o, x: o.channel_shuffle(x, 2), tl.ShapeError, "groups must divide"),
        (lambda o, x: o.fold(x, (3, 3), (2, 2)), tl.ShapeError, "a column for each window"),
        (lambda o, x: o.alpha_dropout(x, 1.0), tl.OptionError, r"p must be in \[0, 1\)"),
    ],
)
def test_errors(call, error, message):
    m = tl.TapeM(dtype="float64")
    with pytest.raises(error, match=message):
        call(m, m.leaf(np.zeros((2, 3, 4, 5))))
