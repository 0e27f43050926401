"""Training on several processes and machines: data parallel over MPI, and on GPUs over NCCL.

The same script runs on one process and, under `mpiexec`, on many; see `docs/scaling.md`.

    mpiexec -n 4 python train.py
"""

from .blocks import own_rows
from .collectives import all_gather, all_reduce, broadcast, recv, send
from .fit import fit
from .loader import ShardedLoader, shard
from .norm import SyncBatchNorm, synchronised
from .trainer import ScalarTrainer
from .world import RankError, World, world

__all__ = [
    "RankError",
    "ScalarTrainer",
    "ShardedLoader",
    "SyncBatchNorm",
    "World",
    "all_gather",
    "all_reduce",
    "broadcast",
    "fit",
    "own_rows",
    "recv",
    "send",
    "shard",
    "synchronised",
    "world",
]
