"""What each rank of a job on devices does for test_fake_nccl.py: `mpiexec -n 2 python tests/distributed/nccl_ranks.py FOLDER CALL…`.

The package nccl4py is NVIDIA's; the library below it is the stand-in. Each rank writes what it has to
`FOLDER/RANK.json`. The calls are those of NCCL that fail, each in a separate training; with `:n` the n-th of them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

import tlean as tl
from tlean.distributed import nccl
from tlean.errors import TleanError

folder = Path(sys.argv[1])
world = tl.distributed.world()
log = folder / f"{world.rank}.log"

X, Y = (np.random.default_rng(k).normal(size=(12, n)).astype("f") for k, n in enumerate((6, 3)))


def loss(ops, a, b, c, x, y):
    return ops.mse_loss(ops.matmul(ops.tanh(ops.linear(a, b, x)), c), y)


def trained(where: object) -> tuple[list[float], list[list[float]]]:
    """The losses and the parameters of three steps, of which the last has rows that the ranks cannot halve."""
    # The values of rank 0 count.
    r = np.random.default_rng(world.rank)
    values = [r.normal(size=(8, 6)).astype("f"), np.zeros(8, "f"), r.normal(size=(8, 3)).astype("f")]
    trainer = tl.distributed.ScalarTrainer(
        tl.Options(backend="compiled", device=where, seed=5), values, [(12, 6), (12, 3)], loss, world=world, blocks=2
    )
    opt = tl.optim.Adam(trainer.params, lr=1e-2)
    losses = []
    for n in (12, 12, 7):
        rows = np.array_split(np.arange(n), world.size)[world.rank]
        losses.append(trainer.optim_step(opt, X[rows], Y[rows], clip_norm=0.5).item())
    return losses, [np.asarray(p.numpy()).ravel().tolist() for p in trainer.get_params()]


def sums() -> list[bool]:
    """Arrays of several sizes, of which one needs several turns in shared memory, on a stream with work that is not done yet."""
    where = tl.cuda.to_device(np.zeros(1, "f")).context
    total = nccl.DeviceSum.of(world, where)
    hosts = [np.random.default_rng([k, world.rank]).normal(size=n).astype(t) for k, (n, t) in enumerate([(5, "f"), (40000, "f"), (9, "d")])]
    arrays = [tl.cuda.to_device(x) for x in hosts]
    total.all_reduce(arrays)
    wanted = [np.sum([x[k] for x in world.gather(hosts)], axis=0) for k in range(3)]
    return [bool(np.array_equal(a.numpy(), w)) for a, w in zip(arrays, wanted, strict=True)]


def training() -> dict[str, object]:
    """A training over NCCL, through the host, and on the CPU."""
    os.environ["FAKE_NCCL_LOG"] = str(log)
    by_nccl = trained("cuda")
    del os.environ["FAKE_NCCL_LOG"]
    package, nccl.package = nccl.package, lambda: None
    by_host, by_cpu = trained("cuda"), trained("cpu")
    nccl.package = package
    return {"nccl": by_nccl, "host": by_host, "cpu": by_cpu, "calls": [line.split() for line in log.read_text().splitlines()]}


def failing(call: str) -> list[str]:
    """The error of a training in which a call fails."""
    os.environ["FAKE_NCCL_FAIL"] = call
    try:
        trained("cuda")
    except TleanError as error:
        return [type(error).__name__, str(error)]
    finally:
        del os.environ["FAKE_NCCL_FAIL"]
    return []


def different() -> list[str]:
    """The error of a sum of arrays that are not the same on all ranks."""
    array = tl.cuda.to_device(np.zeros(4 + world.rank, "f"))
    try:
        nccl.DeviceSum.of(world, array.context).all_reduce([array])
    except TleanError as error:
        return [type(error).__name__, str(error)]
    return []


if __name__ == "__main__":
    result = {"sums": sums(), "training": training(), "failing": {c: failing(c) for c in sys.argv[2:]}, "different": different()}
    (folder / f"{world.rank}.json").write_text(json.dumps(result))
