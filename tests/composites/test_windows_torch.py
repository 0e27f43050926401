"""Padding by name, pools with their further options, and pools to a size against PyTorch, over calls that are drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tlean as tl

torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where PyTorch is installed")
F = torch.nn.functional

from support.torch_parity import check_parity  # noqa: E402 - it imports PyTorch

CONVS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
FIXED = {"max": {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d},
         "avg": {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}}  # fmt: skip
UNPOOL = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}


def drawn(rng, low, high, d):
    return tuple(int(n) for n in rng.integers(low, high, d))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("seed", range(6))
def test_padding_by_name(seed):
    rng = np.random.default_rng(seed)
    d = 1 + seed % 3
    groups = int(rng.integers(1, 3))
    kernel, dilation = drawn(rng, 1, 5, d), drawn(rng, 1, 4, d)
    x, w, b = rng.normal(size=(2, 2 * groups, *drawn(rng, 3, 6, d))), rng.normal(size=(2 * groups, 2, *kernel)), rng.normal(size=2 * groups)
    check_parity(
        lambda o, w, b, x: o.conv(w, b, x, 1, "same", dilation, groups),
        lambda w, b, x: CONVS[d](x, w, b, 1, "same", dilation, groups),
        [w, b, x],
    )
    x = rng.normal(size=(2 * groups, *(r * (k - 1) + 3 for k, r in zip(kernel, dilation, strict=True))))
    check_parity(
        lambda o, w, x: o.conv(w, None, x, 2, "valid", dilation, groups),
        lambda w, x: CONVS[d](x, w, None, 2, "valid", dilation, groups),
        [w, x],
        second=False,
    )


def draw_pool(rng, d, dilated):
    kernel = drawn(rng, 1, 4, d)
    dilation = drawn(rng, 1, 4, d) if dilated else (1,) * d
    spans = [r * (k - 1) + 1 for k, r in zip(kernel, dilation, strict=True)]
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    sizes = tuple(s + int(rng.integers(0, 5)) for s in spans)
    lead = (2, 2) if rng.integers(2) else (3,)
    # Few values: ties, which the first cell must win.
    x = rng.integers(0, 4, (*lead, *sizes)).astype(float)
    return x, kernel, drawn(rng, 1, 4, d), padding, dilation


@pytest.mark.parametrize("seed", range(12))
def test_max_pool(seed):
    rng = np.random.default_rng(seed)
    d = 1 + seed % 3
    x, kernel, stride, padding, dilation = draw_pool(rng, d, seed % 2)
    ceil = bool(rng.integers(2))
    check_parity(
        lambda o, x: o.max_pool(x, kernel, stride, padding, -math.inf, dilation, ceil),
        lambda x: MAX[d](x, kernel, stride, padding, dilation, ceil),
        [x],
    )
    check_parity(
        lambda o, x: o.max_pool_with_indices(x, kernel, stride, padding, dilation, ceil)[0],
        lambda x: MAX[d](x, kernel, stride, padding, dilation, ceil),
        [x],
        second=False,
    )
    _, places = tl.max_pool_with_indices(x, kernel, stride, padding, dilation, ceil)
    _, expected = MAX[d](torch.tensor(x), kernel, stride, padding, dilation, ceil, return_indices=True)
    assert places.dtype == "int64"
    assert np.asarray(places).tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(9))
def test_avg_pool(seed):
    rng = np.random.default_rng(seed)
    d = 1 + seed % 3
    x, kernel, stride, padding, _ = draw_pool(rng, d, False)
    ceil, counts, divisor = bool(rng.integers(2)), bool(rng.integers(2)), [None, 3, -2][rng.integers(3)] if d > 1 else None
    more = () if d == 1 else (divisor,)
    check_parity(
        lambda o, x: o.avg_pool(x, kernel, stride, padding, ceil, counts, *more),
        lambda x: AVG[d](x, kernel, stride, padding, ceil, counts, *more),
        [x],
    )


@pytest.mark.parametrize("seed", range(6))
def test_pools_to_a_size(seed):
    rng = np.random.default_rng(seed)
    d = 1 + seed % 3
    x = rng.integers(0, 5, (2, *drawn(rng, 1, 9, d))).astype(float)
    size = tuple(None if rng.integers(5) == 0 else int(rng.integers(1, 8)) for _ in range(d))
    torch_size = size if d > 1 else (size[0] or x.shape[-1],)
    for kind in ("avg", "max"):
        check_parity(
            lambda o, x, kind=kind: getattr(o, f"adaptive_{kind}_pool")(x, size), lambda x, kind=kind: FIXED[kind][d](x, torch_size), [x]
        )


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_way_back(d):
    rng = np.random.default_rng(d)
    for n, size in ((4, None), (5, (5,) * d)):
        x = rng.permutation(2 * 3 * n**d).reshape(2, 3, *(n,) * d).astype(float)
        y, places = (np.asarray(a) for a in tl.max_pool_with_indices(x, (2,) * d))
        check_parity(
            lambda o, y, places=places, size=size: o.max_unpool(y, places, (2,) * d, size=size),
            lambda y, places=places, size=size: UNPOOL[d](y, torch.tensor(places), 2, output_size=size),
            [y],
        )
