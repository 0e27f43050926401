"""Calls that mypy must refuse: each has an `ignore` of its error, and mypy fails for one that it needs none of. It is not run."""

from __future__ import annotations

import numpy as np

import tlean as tl
from tlean import nn


def options_that_are_words(s: tl.Session, x: np.ndarray, y: np.ndarray) -> None:
    """Words that an option does not know."""
    tl.Options(backend="egaer")  # type: ignore[arg-type]
    tl.Session(backend="compield")  # type: ignore[arg-type]
    tl.Session(dtype="float16")  # type: ignore[arg-type]
    tl.Options().replace(fast_gpu_matmul_precision="bf16")  # type: ignore[arg-type]
    tl.Tape(dtype="half")  # type: ignore[arg-type]
    tl.Param(x, dtype="int64")  # type: ignore[arg-type]
    tl.mse_loss(x, y, reduction="average")  # type: ignore[arg-type]
    tl.cross_entropy(x, y, reduction="batchmean")  # type: ignore[arg-type]
    tl.gelu(x, approximate="erf")  # type: ignore[arg-type]
    tl.pad_by(x, [(1, 1)], mode="constant")  # type: ignore[arg-type]
    tl.take(x, y, mode="ignore")  # type: ignore[arg-type]
    tl.put_along_axis(x, y, x, how="replace")  # type: ignore[arg-type]
    tl.quantile(x, 0.5, method="median")  # type: ignore[arg-type]
    tl.interpolate(x, size=(4, 4), mode="lanczos")  # type: ignore[arg-type]
    tl.grid_sample(x, y, padding_mode="circular")  # type: ignore[arg-type]
    tl.random.normal((3,), dtype="float16")  # type: ignore[arg-type]
    tl.Rng(0).uniform((3,), dtype="half")  # type: ignore[arg-type]
    tl.fft.fft(x, norm="unitary")  # type: ignore[arg-type]
    tl.grad(np.sin, backend="jit")  # type: ignore[arg-type]
    tl.scan(np.add, x, y, checkpoint="log")  # type: ignore[arg-type]
    tl.optim.OneCycleLR(tl.optim.Adam([]), 0.1, 10, anneal_strategy="cosine")  # type: ignore[arg-type]
    nn.Conv2d(1, 8, 3, padding="full")  # type: ignore[arg-type]
    nn.Conv2d(1, 8, 3, padding_mode="symmetric")  # type: ignore[arg-type]
    nn.EmbeddingBag(10, 4, mode="min")  # type: ignore[arg-type]
    tl.searchsorted(x, y, side="middle")  # type: ignore[arg-type]
    tl.linalg.qr(x, mode="full")  # type: ignore[arg-type]
    tl.solvers.odeint(np.add, 1.0, x, method="dopri8")  # type: ignore[arg-type]
    tl.solvers.newton_krylov(np.sin, 1.0, linear="bicg")  # type: ignore[arg-type]
    tl.cubic_spline(0.5, x, y, bc_type="clamped")  # type: ignore[arg-type]
    tl.scipy.minimize(np.sum, x, method="LBFGS")  # type: ignore[arg-type]
    tl.scipy.root(np.sin, x, method="newton")  # type: ignore[arg-type]
    tl.scipy.solve_ivp(np.add, (0.0, 1.0), x, method="RK4")  # type: ignore[arg-type]


def calls(s: tl.Session, x: np.ndarray) -> None:
    """Names and arguments that are not there, and values of another type."""
    tl.rleu(x)  # type: ignore[attr-defined]
    tl.Session(bakend="eager")  # type: ignore[call-arg]
    tl.Session(num_threads="two")  # type: ignore[arg-type]
    tl.softmax(x, dim=1)  # type: ignore[call-arg]
    tl.reshape(x)  # type: ignore[call-arg]
    tl.clamp(x, "0", "1")  # type: ignore[arg-type]
    s.param()  # type: ignore[call-arg]
    s.optim_step(1)  # type: ignore[call-arg]
    tl.set_num_threads("4")  # type: ignore[arg-type]


def words_that_are_right(s: tl.Session, x: np.ndarray, y: np.ndarray, p: tl.Param) -> None:
    """What must pass: words, dtypes that arrays have, devices by number."""
    tl.Session(tl.Options(dtype=p.dtype), backend="compiled", device="cuda:1", num_threads=2)
    tl.random.normal((3,), dtype=tl.relu(x).dtype)
    tl.Rng(0).normal((3,), dtype=p.get().dtype)
    tl.mse_loss(x, y, reduction="none")
    tl.interpolate(x, size=(4, 4), mode="bilinear")
    nn.Conv2d(1, 8, 3, padding="same", padding_mode="circular")
    tl.scan(np.add, x, y, checkpoint="sqrt")
    tl.scipy.minimize(np.sum, x, method="L-BFGS-B")
    tl.scipy.minimize(np.sum, x, method=lambda f, x0, **options: f(x0))
    tl.scipy.solve_ivp(np.add, (0.0, 1.0), x, method="Radau")
    tl.solvers.odeint(np.add, 1.0, x, method="rodas4")
    s.optim_step(tl.optim.Adam([p]), s.backward_scalar_dense_all(s.sum(s.use(p))))
