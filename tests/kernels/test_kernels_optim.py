"""Optimiser steps against their formulas in NumPy, over many steps, in place, on every instruction set this machine runs."""

import ctypes

import numpy as np
import pytest
from kernel_calls import KERNEL, usable_instruction_sets

from tlean._core import threads
from tlean.errors import ShapeError
from tlean.ops.registry import Spec, get

ISAS = usable_instruction_sets("optim")
STEPS = 12


def step_in_place(isa, name, suffix, p, g, states, hyper):
    """One call whose outputs are its inputs."""
    kernels = __import__(f"tlean._core.isa_{isa}.optim", fromlist=["optim"]).KERNELS
    get(name).infer(tuple(Spec(a.shape) for a in (p, g, *states, hyper)), {})
    outs = (ctypes.c_void_p * (1 + len(states)))(*[a.ctypes.data for a in (p, *states)])
    ins = (ctypes.c_void_p * (3 + len(states)))(*[a.ctypes.data for a in (p, g, *states, hyper)])
    ints, floats = (ctypes.c_int64 * 1)(p.size), (ctypes.c_double * 1)(0.0)
    assert KERNEL(kernels[f"{name}:{suffix}"])(outs, ins, ints, floats, 0) == 0


# The formulas, one step: (p, g, states, hyper) -> (p, states). g is factor*g + decay*p already.


def sgd(p, g, states, h):
    return p - h[0] * g, []


def momentum(p, g, states, h):
    u = g if h[6] == 1 else h[3] * states[0] + (1 - h[4]) * g
    return p - h[0] * (g + h[3] * u if h[5] else u), [u]


def adam(p, g, states, h):
    lr, _, decay, b1, b2, eps, t, decoupled = h
    p = p * (1 - lr * decay) if decoupled else p
    m, v = b1 * states[0] + (1 - b1) * g, b2 * states[1] + (1 - b2) * g * g
    top = [np.maximum(v, states[2])] if len(states) == 3 else []
    w = top[0] if top else v
    return p - lr / (1 - b1**t) * m / (np.sqrt(w) / np.sqrt(1 - b2**t) + eps), [m, v, *top]


def rmsprop(centred, velocity):
    def step(p, g, states, h):
        lr, _, _, alpha, eps, mu = h
        v = alpha * states[0] + (1 - alpha) * g * g
        made = [v]
        if centred:
            made.append(alpha * states[1] + (1 - alpha) * g)
        s = np.sqrt(v - made[1] ** 2 if centred else v) + eps
        if not velocity:
            return p - lr * g / s, made
        u = mu * states[-1] + g / s
        return p - lr * u, [*made, u]

    return step


def adagrad(p, g, states, h):
    total = states[0] + g * g
    return p - h[0] / (1 + (h[5] - 1) * h[3]) * g / (np.sqrt(total) + h[4]), [total]


def adadelta(p, g, states, h):
    lr, _, _, rho, eps = h
    v = rho * states[0] + (1 - rho) * g * g
    s = np.sqrt(states[1] + eps) / np.sqrt(v + eps) * g
    return p - lr * s, [v, rho * states[1] + (1 - rho) * s * s]


def adam_hyper(decay, decoupled):
    return lambda t: (1e-2, 1.0, decay, 0.9, 0.999, 1e-8, t, decoupled)


CASES = {
    "sgd": ("_sgd_step", 0, sgd, lambda t: (0.1 / t, 1.0, 0.01)),
    "sgd-maximise": ("_sgd_step", 0, sgd, lambda t: (0.1, -1.0, 0.0)),
    "momentum": ("_momentum_step", 1, momentum, lambda t: (0.1, 1.0, 0.0, 0.9, 0.1, 0, t)),
    "nesterov": ("_momentum_step", 1, momentum, lambda t: (0.1, 0.5, 0.01, 0.9, 0.0, 1, t)),
    "adam": ("_adam_step", 2, adam, adam_hyper(0.0, 0)),
    "adam-decay": ("_adam_step", 2, adam, adam_hyper(0.1, 0)),
    "adamw": ("_adam_step", 2, adam, adam_hyper(0.1, 1)),
    "amsgrad": ("_amsgrad_step", 3, adam, adam_hyper(0.1, 1)),
    "rmsprop": ("_rmsprop_step", 1, rmsprop(False, False), lambda t: (0.01, 1.0, 0.01, 0.9, 1e-8, 0.0)),
    "rmsprop-momentum": ("_rmsprop_momentum_step", 2, rmsprop(False, True), lambda t: (0.01, 1.0, 0.0, 0.9, 1e-8, 0.5)),
    "rmsprop-centred": ("_rmsprop_centred_step", 2, rmsprop(True, False), lambda t: (0.01, 1.0, 0.0, 0.9, 1e-3, 0.0)),
    "rmsprop-both": ("_rmsprop_centred_momentum_step", 3, rmsprop(True, True), lambda t: (0.01, 1.0, 0.01, 0.9, 1e-3, 0.9)),
    "adagrad": ("_adagrad_step", 1, adagrad, lambda t: (0.1, 1.0, 0.01, 0.1, 1e-10, t)),
    "adadelta": ("_adadelta_step", 2, adadelta, lambda t: (1.0, 1.0, 0.01, 0.9, 1e-6)),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", [(), (0,), (5, 7), (1001,)])
def test_steps_follow_the_formulas(isa, suffix, case, shape):
    name, count, formula, hyper = CASES[case]
    dtype, tolerance = (np.float32, 2e-5) if suffix == "f32" else (np.float64, 1e-13)
    rng = np.random.default_rng(0)
    p = rng.standard_normal(shape).astype(dtype)
    p = np.array(p, dtype)
    states = [np.zeros(shape, dtype) for _ in range(count)]
    wide_p, wide = p.astype(np.float64), [s.astype(np.float64) for s in states]
    for t in range(1, STEPS + 1):
        g = np.array(rng.standard_normal(shape), dtype)
        h = np.array(hyper(t), np.float64)
        used = h[1] * g.astype(np.float64) + (0.0 if name in ("_adam_step", "_amsgrad_step") and h[7] else h[2]) * wide_p
        step_in_place(isa, name, suffix, p, g, states, h)
        wide_p, wide = formula(wide_p, used, wide, h)
        np.testing.assert_allclose(p, wide_p, rtol=tolerance, atol=tolerance)
    for found, expected in zip(states, wide, strict=True):
        np.testing.assert_allclose(found, expected, rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("isa", ISAS)
def test_same_bits_at_any_thread_count(isa):
    rng = np.random.default_rng(0)
    p, g = rng.standard_normal((2, 300_001)).astype(np.float32)
    h = np.array(adam_hyper(0.1, 1)(3), np.float64)
    found = []
    before = threads.get_num_threads()
    for n in (1, 2):
        threads.set_num_threads(n)
        mine, m, v = p.copy(), np.abs(g), g * g
        step_in_place(isa, "_adam_step", "f32", mine, g, [m, v], h)
        found.append([a.tobytes() for a in (mine, m, v)])
    threads.set_num_threads(before)
    assert found[0] == found[1]


def test_shapes():
    p, h = Spec((3,)), Spec((8,), "float64")
    adam_step = get("_adam_step")
    assert [s.shape for s in adam_step.infer((p, p, p, p, h), {})[1]] == [(3,)] * 3
    with pytest.raises(ShapeError, match="the parameter's shape"):
        adam_step.infer((p, Spec((4,)), p, p, h), {})
    with pytest.raises(ShapeError, match="hyper must have 8 entries"):
        adam_step.infer((p, p, p, p, Spec((7,), "float64")), {})
