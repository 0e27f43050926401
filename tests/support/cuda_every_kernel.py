"""Runs every kernel once or a few times, quickly: what compute-sanitizer watches (`make test-cuda`).

    compute-sanitizer --tool racecheck --error-exitcode 1 python tests/support/cuda_every_kernel.py --shared

Every sample of the registry, shapes of more than one tile, every precision, the atomic kernels, the steps over all parameters. With
`--shared` only the kernels that have shared memory: the others have no barriers and nothing for racecheck.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("support", "cuda", "ops", "kernels"))

from test_cuda_ops import BIG, CONVOLUTIONS, GOOD, PRODUCTS, STEPS, case, has_kernel

import tlean as tl
from tlean.cuda.calls.table import KERNELS, family_of
from tlean.cuda.kernels import sources
from tlean.cuda.kernels.plan import Mode
from tlean.cuda.runtime.array import accumulate
from tlean.cuda.step import first_not_finite, step_all_at
from tlean.ops import get


def calls() -> Iterator[tuple[str, list, dict, str]]:
    """(op, arrays, options, precision)."""
    rng = np.random.default_rng(0)

    def draw(*shapes: tuple[int, ...]) -> list[np.ndarray]:
        return [rng.standard_normal(s).astype("float32") for s in shapes]

    for name, k in GOOD:
        if has_kernel(name):
            arrays, options, _ = case(name, k)
            yield name, [a if a is None or np.asarray(a).dtype.kind != "f" else a.astype("float32") for a in arrays], options, "fp32"
    for name, shapes, options in BIG:
        yield name, [*draw(*shapes), *[None] * (len(get(name).inputs) - len(shapes))], options, "fp32"
    for causal in (False, True):
        q, k, v = draw((2, 70, 66), (2, 130, 66), (2, 130, 130))
        yield "_sdpa_grad", [*draw((2, 70, 130), (2, 70, 130), (2, 70)), q, k, v, None], {"causal": causal}, "fp32"
    for precision in ("fp32", "tf32", "fp64"):
        for batch, m, n, k in (*PRODUCTS, (64, 130, 70, 17)):
            for a, b in ((False, False), (True, True)):
                x, y = draw((batch, *((k, m) if a else (m, k))), (batch, *((n, k) if b else (k, n))))
                yield "matmul", [x, y], {"transpose_a": a, "transpose_b": b}, precision
        for images, c, o, size, kernel, stride, padding, dilation, groups in CONVOLUTIONS:
            options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            w, b, x = draw((o, c // groups, *kernel), (o,), (images, c, *size))
            g = np.zeros(get("conv").rules.shape(w.shape, b.shape, x.shape, **options), "float32")
            yield "conv", [w, b, x], options, precision
            yield "_conv_grad_w", [g, x], options | {"kernel": kernel}, precision
            yield "_conv_grad_x", [w, g], options | {"in_shape": size}, precision


def shares(name: str, precision: str) -> bool:
    """Whether an op's kernels have shared memory."""
    record = get(name)
    return record.kernel in KERNELS and "__shared__" in family_of(record, Mode(precision)).source


def main(shared: bool = False) -> None:
    """Run them, or with `shared` those that have shared memory."""
    count = 0
    backends = {precision: tl.cuda.ops(precision=precision) for precision in ("fp32", "tf32", "fp64")}
    for name, arrays, options, precision in calls():
        if shared and not shares(name, precision):
            continue
        backends[precision].apply_all(name, arrays, options)
        count += 1
    free = tl.cuda.ops(deterministic=False)
    free._scatter_rows(np.ones((40, 3), "float32"), np.arange(40) % 5, shape=(5, 3))
    where = free.context
    for name, states, _, hyper in () if shared else STEPS.values():
        arrays = [tl.cuda.to_device(np.ones(n, "float32")) for n in (1, 5000)]
        given = [[tl.cuda.to_device(np.ones(a.shape, "float32")) for _ in range(states)] for a in arrays]
        step_all_at(where, name, hyper(1), arrays, arrays, given)
        accumulate(arrays[1], arrays[1])
        count += 2
    if not shared:
        looked_at = [tl.cuda.to_device(np.ones(n, "float32")) for n in (1, 5000, 0, 3, 70_000, *range(1, 9))]
        assert first_not_finite(looked_at) is None
        bad = tl.cuda.to_device(np.full(5000, np.inf, "float32"))
        assert first_not_finite([*looked_at, bad, bad]) == (len(looked_at), np.inf)
        count += 2
    tl.cuda.synchronize()
    print(f"{count} calls on {where.name}; {len(sources())} families of kernels")


if __name__ == "__main__":
    main("--shared" in sys.argv)
