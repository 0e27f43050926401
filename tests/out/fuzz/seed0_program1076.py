"""error: call 0 (forward): eager DTypeError: use: the session computes in float32, got Param(p0: (1,) float64); compiled works"""

import numpy as np

import tlean as tl

nan, inf = float("nan"), float("inf")


def program(ops, x55):
    return [x55]


def loss(ops, x55):
    ys = program(ops, x55)
    total = ops.sum(ys[0])
    return total


xs = [np.ones((1,), "float32")]


def run(backend):
    options = tl.Options(backend=backend, dtype="float32")
    t = tl.ScalarTrainer(options, [tl.Param(xs[0], dtype="float64")], [], lambda ops, x55: loss(ops, x55))
    print(backend, "forward:", t.forward())
    print(backend, "parameters:", t.get_params())


for backend in ("eager", "compiled"):
    try:
        run(backend)
    except tl.TleanError as error:
        print(backend, type(error).__name__, error)
