"""The same training program op by op and as one compiled plan: the same bits, and what each costs.

For a small network and a few batch sizes it trains the same steps on both backends, checks that losses and parameters agree to the last
bit, and prints the time of a step; then it shows the compiled program's first instructions and where its time goes.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from typing import Any

import numpy as np

import tlean as tl

LAYERS = (64, 128, 128, 10)


def loss(ops: Any, *refs: Any) -> Any:
    """Cross entropy of a perceptron with gelu layers and dropout."""
    *params, x, y = refs
    h = x
    for k in range(0, len(params) - 2, 2):
        h = ops.dropout(ops.gelu(ops.linear(params[k], params[k + 1], h)), 0.1)
    return ops.cross_entropy(ops.linear(params[-2], params[-1], h), y)


def trainer(backend: str, batch: int, seed: int) -> tl.ScalarTrainer:
    """A trainer of the network on that backend."""
    rng = tl.Rng(seed)
    values: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(LAYERS):
        values += [rng.uniform((fan_out, fan_in), -(fan_in**-0.5), fan_in**-0.5), np.zeros(fan_out, np.float32)]
    return tl.ScalarTrainer(tl.Options(backend=backend, seed=seed), values, [(batch, LAYERS[0]), tl.Spec((batch,), "int64")], loss)


def run(backend: str, batch: int, steps: int, seed: int) -> tuple[list[float], list[np.ndarray], float]:
    """Losses, parameters after the last step, and the median seconds of a step."""
    made, rng = trainer(backend, batch, seed), np.random.default_rng(seed)
    losses, times = [], []
    for _ in range(steps):
        x, y = rng.standard_normal((batch, LAYERS[0]), dtype=np.float32), rng.integers(0, LAYERS[-1], batch)
        begun = time.perf_counter()
        losses.append(made.adam_step(1e-3, 0.9, 0.999, 1e-8, x, y).item())
        times.append(time.perf_counter() - begun)
    return losses, [np.array(p) for p in made.get_params()], statistics.median(times)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    p = argparse.ArgumentParser(prog="compiled_vs_eager.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--steps", type=int, default=300, help="of training on each backend (default: %(default)s)")
    p.add_argument("--batches", default="1,32,256", help="batch sizes, with commas (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    p.add_argument("--rows", type=int, default=10, help="lines of the program and of the profile to show (default: %(default)s)")
    args = p.parse_args(argv)
    try:
        args.sizes = [int(n) for n in args.batches.split(",")]
    except ValueError:
        p.error(f"--batches takes whole numbers with commas between them, got {args.batches!r}")
    if args.steps < 1 or min(args.sizes) < 1 or args.rows < 1:
        p.error("--steps, --batches and --rows are at least 1")
    return args


def main(argv: list[str] | None = None) -> None:
    """Train on both, compare, show the program."""
    args = parse(argv)
    print(f"{'batch':>6}  {'last loss':>10}  {'bits':>6}")
    for batch in args.sizes:
        print(f"training {args.steps} steps at batch {batch}, eager and compiled", file=sys.stderr, flush=True)
        (eager, eager_params, slow), (compiled, params, fast) = (run(b, batch, args.steps, args.seed) for b in ("eager", "compiled"))
        same = eager == compiled and all(np.array_equal(a, b) for a, b in zip(eager_params, params, strict=True))
        print(f"{batch:6}  {eager[-1]:10.6f}  {'equal' if same else 'DIFFER'}", flush=True)
        print(f"a step takes {slow * 1e6:.1f} µs eager, {fast * 1e6:.1f} µs compiled: {slow / fast:.1f} times", file=sys.stderr)
        if not same:
            raise SystemExit("eager and compiled training differ: this is a bug, please report it")

    shapes = [(a, b) for b, a in itertools.pairwise(LAYERS)]
    specs = [s for shape in shapes for s in (shape, shape[:1])]
    batch = args.sizes[0]
    program = tl.compile_scalar(loss, [*specs, (batch, LAYERS[0]), tl.Spec((batch,), "int64")])
    print(f"\n{program}, the first {args.rows} of its instructions after fusion:")
    print("\n".join(str(program.plan.program).splitlines()[: args.rows]))
    cost = program.cost()
    print(f"{cost.flops / 1e6:.3f} MFLOP and {cost.bytes / 1e6:.3f} MB forward")

    made, rng = trainer("compiled", batch, args.seed), np.random.default_rng(args.seed)
    x, y = rng.standard_normal((batch, LAYERS[0])), rng.integers(0, LAYERS[-1], batch)
    made.step(1e-3, x, y)
    with tl.profile() as p:
        for _ in range(20):
            made.step(1e-3, x, y)
    print(p.table(limit=args.rows), file=sys.stderr)


if __name__ == "__main__":
    main()
