"""Kills a rank of a job at random moments: the job ends at once and says which rank it was, and goes on from its checkpoint as if nothing
had been.

    python tests/distributed/rank_faults.py --moments 10        # or: make distributed-faults
    mpiexec -n 2 python tests/distributed/rank_faults.py train FOLDER       # one such job

A job trains a small convolutional network with deterministic sums over four blocks, and writes a checkpoint every third step. What is left
of it goes on with 1, 2 or 4 ranks, and has to end with the bits of an undisturbed run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tlean as tl
from tlean import nn

#: The seconds in which a job has to end, and those that a step takes at least, so that a moment lies within one.
LIMIT, PAUSE = 10.0, 0.01
STEPS, EVERY = 60, 3
_RUN = [sys.executable, str(Path(__file__).resolve())]


def model() -> nn.Module:
    """The network, as every rank builds it."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(4 * 64, 10)).init(1)


def train(folder: Path, each: Callable[[tl.distributed.World], None] = lambda world: None, pause: float = 0.0) -> str:
    """Train, or go on, in this process or as a rank; returns a digest of all that was learned.

    Args:
        folder: where the checkpoint is.
        each: called after every step.
        pause: seconds that a step takes longer.
    """
    world = tl.distributed.world()
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(192, 1, 8, 8)).astype("f"), rng.integers(0, 10, 192)
    network = model()

    class Pace:
        def on_step(self, run: object) -> None:
            each(world)
            time.sleep(pause)

    history = tl.distributed.fit(
        network,
        tl.data.DataLoader((images, labels), 16, shuffle=True, seed=3),
        "cross_entropy",
        lambda p: tl.optim.Adam(p, lr=1e-3),
        STEPS // 12,
        deterministic=True,
        blocks=4,
        checkpoint=folder / "run.safetensors",
        checkpoint_every=EVERY,
        resume=True,
        verbose=False,
        callbacks=[Pace()],
    )
    return digest(network, history.step_loss)


def digest(network: nn.Module, losses: list[float]) -> str:
    """What tells two runs apart: every parameter's and every loss's bits."""
    return hashlib.sha256(b"".join(np.asarray(p).tobytes() for p in network.state()) + np.array(losses).tobytes()).hexdigest()[:16]


def mpiexec() -> str | None:
    """The launcher beside this Python, or the system's; None without one, or without mpi4py."""
    try:
        import mpi4py  # noqa: F401
    except ImportError:
        return None
    return shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")


def job(ranks: int, folder: Path) -> subprocess.Popen[str]:
    """A job that trains."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "TLEAN_NUM_THREADS": "1"}
    command = [str(mpiexec()), "-n", str(ranks), *_RUN, "train", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def killed(folder: Path, victim: int, moment: float) -> tuple[float, str, list[int]]:
    """Kill a rank of two at a moment of the training.

    Args:
        folder: of the job.
        victim: the rank.
        moment: from 0 to 1, of the time that the training takes.

    Returns: the seconds until the job had ended, its messages, and the processes of its ranks.
    """
    done = job(2, folder)
    files = [folder / f"pid{k}" for k in range(2)]
    while not all(f.exists() and f.read_text() for f in files):
        if done.poll() is not None:
            raise RuntimeError(f"the job ended before it began: {done.communicate()}")
        time.sleep(0.005)
    time.sleep(moment * STEPS * PAUSE)
    pids = [int(f.read_text()) for f in files]
    os.kill(pids[victim], signal.SIGKILL)
    begun = time.monotonic()
    _, messages = done.communicate(timeout=60)
    return time.monotonic() - begun, messages, pids


def alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def check(folder: Path, victim: int, moment: float) -> float:
    """Kill a rank, and look at what is said. Raises: AssertionError. Returns: the seconds until the job had ended."""
    seconds, messages, pids = killed(folder, victim, moment)
    said = f"tlean.distributed: rank {victim} (pid {pids[victim]} on "
    assert said in messages and "; the job of 2 ranks ends" in messages, messages
    assert seconds < LIMIT, f"{seconds:.1f} s"
    assert not any(map(alive, pids))
    return seconds


def main() -> None:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("role", nargs="?", choices=("kill", "train"), default="kill")
    p.add_argument("folder", nargs="?", type=Path)
    p.add_argument("--moments", type=int, default=10)
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    if args.role == "train":

        def begun(world: tl.distributed.World) -> None:
            file = args.folder / f"pid{world.rank}"
            if not file.exists():
                file.write_text(str(os.getpid()))

        found = train(args.folder, begun, PAUSE)
        if tl.distributed.world().root:
            print(found)
        return
    if mpiexec() is None:
        raise SystemExit("rank_faults.py: mpi4py and an mpiexec are needed: pip install 'tlean[distributed]'")
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as where:
        whole = train(Path(where))
    print(f"undisturbed, one rank: {whole}")
    for k in range(args.moments):
        victim, moment, ranks = rng.randrange(2), rng.uniform(0.0, 0.85), (1, 2, 4)[k % 3]
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where)
            seconds = check(folder, victim, moment)
            rest = job(ranks, folder)
            out, err = rest.communicate(timeout=120)
            assert out.split() == [whole], (out, err)
        print(
            f"moment {k + 1}: rank {victim} killed at {moment:.0%}; ended in {seconds:.2f} s; with {ranks} ranks to the same bits",
            flush=True,
        )


if __name__ == "__main__":
    main()
