"""Samples of ops that are written in terms of many operators: as onnxruntime computes them, and equal to the bit when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean.ops import get
from tlean.testing.ops import _drawn

onnx = pytest.importorskip("onnx", reason="files of ONNX are read and written by its package")

_RUNNING = ("cumprod", "_running_product", "cummax", "_cummax_index", "cumlogsumexp", "_recurrence")
_LINKED = ("_chain", "_inverse_links", "_neighbours", "_locate", "searchsorted", "gcd", "lcm")
_WINDOWS = ("_windows", "_windows_adjoint", "_avg_pool_grad", "_max_pool_grad", "_max_pool_gather")
_SPECIAL = (
    "erfc",
    "erfcx",
    "erfinv",
    "ndtr",
    "log_ndtr",
    "ndtri",
    "lgamma",
    "digamma",
    "polygamma",
    "betaln",
    "log1p",
    "_gammainc",
    "_gammaincinv",
    "_betainc",
    "_betaincinv",
    "_student",
    "_student_inverse",
)
_RANDOM = ("rand_uniform", "bernoulli_mask", "_rand_normal", "_rand_integers", "_loop_seed", "_rand_log_gamma", "_rand_poisson")
_CIRCULAR = ("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cosh", "erf", "sinh", "tan")
_CONVOLUTIONS = ("conv", "conv2d", "conv_transpose", "conv_transpose2d", "_conv_grad_x", "_conv_grad_w", "avg_pool", "avg_pool2d_pad")
_CLOSE = {"float32": {"rtol": 1e-5, "atol": 1e-5}, "float64": {"rtol": 1e-12, "atol": 1e-12}}
_MATRICES = ("_linalg_cholesky", "_linalg_solve_triangular", "_linalg_solve", "_linalg_det", "_linalg_logabsdet", "_linalg_sign")
_FACTORS = ("_linalg_lu", "_linalg_rows", "_linalg_require", "_linalg_lu_tall", "_linalg_qr", "_linalg_complement")
_SPECTRA = ("_linalg_eigh", "_linalg_svd", "_linalg_pinv", "_linalg_expm", "_linalg_cofactors")
#: Samples of more elements than these take too long here.
_MOST = 5_000


def _calls(name: str) -> list[tuple[list[np.ndarray | None], dict[str, Any]]]:
    record, rng = get(name), np.random.default_rng(3)
    calls = []
    for sample in record.samples() if record.samples else ():
        if not sample.raises:
            args = [*sample.args, *[None] * (0 if record.variadic else len(record.inputs) - len(sample.args))]
            arrays = [_drawn(a, rng) for a in args]
            if sum(a.size for a in arrays if a is not None) <= _MOST:
                calls.append((arrays, sample.options))
    return calls[:12]


@pytest.mark.parametrize(
    "name", [*_CIRCULAR, *_CONVOLUTIONS, *_RUNNING, *_LINKED, *_WINDOWS, *_SPECIAL, *_RANDOM, *_MATRICES, *_FACTORS, *_SPECTRA]
)
@pytest.mark.parametrize(("dtype", "opset"), [("float32", 23), ("float64", 18)])
def test_samples(name: str, dtype: str, opset: int, tmp_path: Path) -> None:
    """The good samples, twelve of each."""
    runtime = pytest.importorskip("onnxruntime", reason="another program that runs the files")
    record, path = get(name), tmp_path / "f.onnx"
    checked = 0
    for arrays, options in _calls(name):
        args = [
            np.asarray(a, dtype if a.dtype.kind == "f" else "int64" if n in record.whole_inputs else a.dtype)
            for n, a in zip(record.input_names(len(arrays)), arrays, strict=True)
            if a is not None
        ]

        def f(ops: Any, *xs: Any, arrays: Any = arrays, options: Any = options) -> Any:
            given = iter(xs)
            return ops.apply(record.name, tuple(None if a is None else next(given) for a in arrays), dict(options))

        made = tl.onnx.export(f, path, *args, opset=opset, dynamic_batch=False)
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        want = [np.asarray(v) for v in tl.tree.flatten(tl.jit(f, seed=0)(*args))[0]]
        read = [np.asarray(v) for v in tl.tree.flatten(tl.onnx.load(path)(*args))[0]]
        for a, b, c in zip(want, session.run(None, dict(zip(made.inputs, args, strict=True))), read, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            close = dict(_CLOSE.get(a.dtype.name, {}))
            if name in _SPECTRA:
                # Relative to the norm.
                close["atol"] *= max(1.0, float(np.abs(a).max(initial=0)))
            np.testing.assert_allclose(b, a, **close)
            assert (a.dtype, a.shape, a.tobytes()) == (c.dtype, c.shape, c.tobytes())
        checked += 1
    assert checked
