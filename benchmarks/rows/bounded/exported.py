"""Small programs as C (`tl.export_c`) beside their plans: a call without Python and without a plan around the work."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rows.libraries import Bound, CompiledRow, Timed
from rows.training import LR

_MOST = 0.5


def _rollout_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    return [(rng.standard_normal(s) * c).astype(np.float32) for s, c in (((8,), 1.0), ((20, 8), 1.0), ((8, 8), 0.3))]


def _rollout(x: Any, us: Any, a: Any) -> Any:
    import tlean as tl

    def step(h: Any, u: Any) -> Any:
        h = tl.tanh(a @ h) + 0.1 * u
        return h, tl.sum(h * h)

    last, costs = tl.scan(step, x, us)
    return tl.sum(costs) + tl.sum(last)


def _density_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    return [np.array([0.3, 0.1], np.float32), rng.standard_normal(50).astype(np.float32)]


def _density(theta: Any, x: Any) -> Any:
    import tlean as tl

    z = (x - theta[0]) * tl.exp(-theta[1])
    return -0.5 * tl.sum(z * z) - 50.0 * theta[1] - 0.5 * theta[0] * theta[0]


def _layers_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.standard_normal(s).astype(np.float32) * 0.3 for s in ((16, 8), (16,), (1, 16), (1,), (12, 8), (12, 1))]


def _loss(w: Any, b: Any, v: Any, c: Any, x: Any, y: Any) -> Any:
    import tlean as tl

    return tl.mse_loss(tl.linear(v, c, tl.tanh(tl.linear(w, b, x))), y)


def _images_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    return [(rng.standard_normal(s) * 0.3).astype(np.float32) for s in ((4, 1, 3, 3), (5, 64), (1, 1, 8, 8))]


def _images(w: Any, v: Any, x: Any) -> Any:
    import tlean as tl

    h = tl.max_pool2d(tl.relu(tl.conv2d(w, None, x, padding=1)), kernel=2)
    return tl.mean(tl.square(tl.linear(v, None, tl.reshape(h, shape=(x.shape[0], -1)))))


def _normal_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    m = rng.standard_normal((6, 6))
    return [rng.standard_normal(6).astype(np.float32), (m @ m.T + 2.0 * np.eye(6)).astype(np.float32)]


def _normal(x: Any, covariance: Any) -> Any:
    import tlean as tl

    factor = tl.linalg.cholesky(covariance)
    z = tl.linalg.solve_triangular(factor, x, lower=True)
    return -0.5 * tl.sum(z * z) - tl.sum(tl.log(tl.diagonal(factor)))


def _compiled(c: Any, arrays: list[np.ndarray]) -> Timed:
    # A call of the C function, as `ctypes` makes it; it returns the first output.
    folder = Path(tempfile.mkdtemp())
    (folder / f"{c.name}.c").write_text(c.source)
    (folder / f"{c.name}.h").write_text(c.header)
    flags = ["-std=c99", "-O2", "-march=native", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, str(folder / f"{c.name}.c"), "-o", str(folder / "code.so"), "-lm"], check=True)
    code = ctypes.CDLL(str(folder / "code.so"))
    size = getattr(code, f"{c.name}_size")
    size.restype = ctypes.c_ulong
    state = ctypes.create_string_buffer(size() + 64)
    if hasattr(code, f"{c.name}_init"):
        getattr(code, f"{c.name}_init")(state)
    outs = [np.empty(s.shape, s.dtype) for _, _, s in c.outputs]
    places = [*(a.ctypes.data for a in (*arrays, *outs)), ctypes.addressof(state)]
    function = getattr(code, c.name)
    function.argtypes = [ctypes.c_void_p] * len(places)

    def call() -> Any:
        function(*places)
        return outs[0]

    # The arrays live as long as the function does.
    call.held = (arrays, outs, state)  # type: ignore[attr-defined]
    return call


def _gradient(f: Callable[..., Any], name: str) -> tuple[Callable[..., Timed], Callable[..., Timed]]:
    def exported(arrays: list[np.ndarray]) -> Timed:
        import tlean as tl

        return _compiled(tl.export_c(f, arrays, name=name, what="value_and_grad", wrt=0), arrays)

    def plan(arrays: list[np.ndarray]) -> Timed:
        import tlean as tl

        program = tl.jit(tl.value_and_grad(f))
        return lambda: program(*arrays)[0]

    return exported, plan


def _step_exported(arrays: list[np.ndarray]) -> Timed:
    import tlean as tl

    params = [tl.Param(a) for a in arrays[:4]]
    c = tl.export_c(lambda x, y: _loss(*params, x, y), arrays[4:], name="layers", what="step", optimizer=tl.optim.SGD(params, lr=LR))
    return _compiled(c, arrays[4:])


def _step_plan(arrays: list[np.ndarray]) -> Timed:
    import tlean as tl

    *values, x, y = arrays
    trainer = tl.ScalarTrainer(tl.Options(), values, [x.shape, y.shape], lambda ops, *args: _loss(*args))
    return lambda: trainer.step(LR, x, y)


def exported_rows() -> list[CompiledRow]:
    """A rollout, log densities, a convolution with a pool, all with the gradient, and a step of a small network."""
    cases = (
        ("c_rollout_8_states", _rollout_arrays, *_gradient(_rollout, "rollout")),
        ("c_log_density_50", _density_arrays, *_gradient(_density, "density")),
        ("c_normal_6_cholesky", _normal_arrays, *_gradient(_normal, "normal")),
        ("c_conv_pool_8x8", _images_arrays, *_gradient(_images, "images")),
        ("c_mlp_8_16_1_step", _layers_arrays, _step_exported, _step_plan),
    )
    return [
        CompiledRow(name, "call", arrays, 0, ours, None, None, "calls", (Bound(_MOST, "base"),), base=base)
        for name, arrays, ours, base in cases
    ]
