"""The ranks of a job: `world()`."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tlean._core.threads import set_num_threads
from tlean.errors import OptionError, TleanError
from tlean.param import Param

#: What launchers tell a process of the number of ranks.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS")
#: Seconds for which a rank waits for one that has left.
_PATIENCE = 2.0
#: How often a rank that has a core looks for an answer before it lets others have it: some tenths of a millisecond.
_SPINS = 400


_yield = getattr(os, "sched_yield", None)


class RankError(TleanError):
    """Another rank could not take its part in what all ranks do together."""


class World:
    """The ranks of a job, and which of them this process is. `world()` makes it.

    Args:
        comm: the communicator of mpi4py over all ranks; None for a process alone.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int

    def __init__(self, comm: Any = None) -> None:
        #: The communicator of mpi4py, the library's own copy; None for a process alone.
        self.comm: Any = None if comm is None else comm.Dup()
        #: What MPI takes for "in the receiver's own memory".
        self.in_place: Any = None if comm is None else _mpi().IN_PLACE
        #: The number of this process, from 0, and of all.
        self.rank, self.size = (0, 1) if comm is None else (int(comm.Get_rank()), int(comm.Get_size()))
        #: The same among the ranks on this machine, and the cores that this one may use there.
        self.local_rank, self.local_size = 0, 1
        self.cores: int = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._channels: list[Any] = []
        self._watch: Any = None
        #: The ranks that have left the job, as far as this one was told while it waited.
        self.left: set[int] = set()
        if self.comm is not None and self.size > 1:
            near = self.comm.Split_type(_mpi().COMM_TYPE_SHARED)
            self.local_rank, self.local_size = int(near.Get_rank()), int(near.Get_size())
            near.Free()

    @property
    def root(self) -> bool:
        """Whether this is rank 0, which writes files and shows progress."""
        return self.rank == 0

    # Objects and arrays, outside of programs.

    def share(self, value: Any, root: int = 0) -> Any:
        """An object of one rank, on all of them; it is pickled.

        Args:
            value: the object; on the other ranks it is not looked at.
            root: whose it is.
        """
        return value if self.comm is None else self.comm.bcast(value, root)

    def gather(self, value: Any) -> list[Any]:
        """The objects of all ranks, in rank order, on every rank; they are pickled.

        Args:
            value: this rank's.
        """
        return [value] if self.comm is None else list(self.comm.allgather(value))

    def barrier(self) -> None:
        """Wait until every rank is here."""
        if self.comm is not None:
            self.wait(self.comm.Ibarrier())

    def root_first(self, function: Callable[[], Any]) -> Any:
        """A function's result, called by rank 0 before the others: it may fill a cache that they read.

        Args:
            function: called without arguments.
        """
        if self.root:
            made = function()
            self.barrier()
            return made
        self.barrier()
        return function()

    def share_params(self, params: Iterable[Param], root: int = 0) -> None:
        """Give parameters and buffers the values of one rank.

        Args:
            params: the same ones on every rank, in one order.
            root: whose values count.

        Raises: OptionError where the ranks have other parameters.
        """
        params = list(params)
        forms = self.gather([(p.shape, p.dtype) for p in params])
        if any(form != forms[0] for form in forms):
            raise OptionError("distributed: the ranks have parameters of different shapes or dtypes; build the same model on each")
        if self.comm is None or self.size == 1:
            return
        for p in params:
            value = np.array(p.get().numpy(), order="C")
            self.comm.Bcast(value, root)
            if self.rank != root:
                p.set(value)

    def channel(self, number: int) -> Any:
        """A communicator for one stream of collective calls: those of different channels may overlap in any order.

        Args:
            number: which; every rank requests a new one at the same point of its program.
        """
        while self.comm is not None and len(self._channels) <= number:
            self._channels.append(self.comm.Dup())
        return self._channels[number] if self.comm is not None else None

    # Ends of ranks.

    def watched(self) -> World:
        """Start what ends the job when a rank dies, and name that rank."""
        if self.size > 1 and self._watch is None:
            self._watch = _watch(self)
            atexit.register(self._tell, "q")
            before = sys.excepthook

            def uncaught(kind: Any, error: Any, trace: Any) -> None:
                before(kind, error, trace)
                text = " ".join(f"{kind.__name__}: {error}".split())
                self._tell("x" + text)

            sys.excepthook = uncaught
        return self

    def wait(self, request: Any) -> None:
        """Wait for a call of MPI that was begun.

        Args:
            request: what mpi4py returned.

        Raises: RankError where a rank that takes part has left the job.
        """
        turns, begun, late = 0, 0.0, 0.0
        spins = _SPINS if self.local_size <= self.cores else 0
        while not request.Test():
            turns += 1
            if turns > spins:
                # Ranks that share a core let each other go on.
                time.sleep(0) if _yield is None else _yield()
            if turns % 256:
                continue
            now = time.monotonic()
            begun = begun or now
            if now - begun < _PATIENCE / 4:
                continue
            left = self._departed()
            late = late or (now if left else 0.0)
            if late and now - late > _PATIENCE:
                ranks = ", ".join(map(str, sorted(left)))
                raise RankError(f"distributed: all ranks must take part, but rank {self.rank} waits and rank {ranks} has left the job")

    def _departed(self) -> set[int]:
        if self._watch is not None:
            with contextlib.suppress(BlockingIOError, ValueError):
                data = os.read(self._watch.stdout.fileno(), 65536)
                self.left.update(int(line) for line in data.split())
        return self.left

    def note(self, text: str) -> None:
        """What is said beside the news that this rank died, such as where the last checkpoint is.

        Args:
            text: one line.
        """
        self._tell("n" + " ".join(text.split()))

    def _tell(self, line: str) -> None:
        if self._watch is not None:
            with contextlib.suppress(OSError, ValueError):
                self._watch.stdin.write(line.encode() + b"\n")
                self._watch.stdin.flush()

    def __repr__(self) -> str:
        return f"<rank {self.rank} of {self.size}>"

    def __reduce__(self) -> Any:
        return world, ()


def _mpi() -> Any:
    from mpi4py import MPI

    return MPI


def _launched() -> bool:
    return any(os.environ.get(name, "1").isdigit() and int(os.environ.get(name, "1")) > 1 for name in _SIZES)


@functools.cache
def world() -> World:
    """The ranks of this job. The first call is made by all ranks; it starts MPI.

    A process that no launcher started is rank 0 of 1, and needs no package. Unless `TLEAN_NUM_THREADS` or `OMP_NUM_THREADS` says
    otherwise, the ranks of a machine share its cores: each gets that part of them as threads of the kernels, which changes no bit of any
    result.

    Returns: the `World`, the same one at each call.
    Raises: ImportError where a launcher started several processes and mpi4py is not installed.

    Example:
        >>> tl.distributed.world()
        <rank 0 of 1>
    """
    try:
        comm = _mpi().COMM_WORLD
    except ImportError as error:
        if _launched():
            raise ImportError(
                "tl.distributed needs the package mpi4py and an MPI: pip install 'tlean[distributed]' brings both; on a cluster install"
                f" mpi4py against the MPI that is there ({error})"
            ) from None
        comm = None
    made = World(comm).watched()
    if made.local_size > 1 and not any(map(os.environ.get, ("TLEAN_NUM_THREADS", "OMP_NUM_THREADS"))):
        set_num_threads(max(1, made.cores // made.local_size))
    return made


def _watch(world: World) -> Any:
    # The process beside this rank, connected to that beside rank 0.
    import subprocess

    path = Path(__file__).with_name("watch.py")
    command = [sys.executable, "-S", "-E", str(path), str(world.rank)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None and process.stdout is not None
    host = str(_mpi().Get_processor_name())
    port = int(process.stdout.readline()) if world.rank == 0 else 0
    about = world.share({"port": port, "host": host, "token": secrets.token_hex(16)})
    # Ranks on the hub's machine reach it whatever its name means there.
    hosts = ["127.0.0.1", about["host"]] if about["host"] == host else [about["host"]]
    line = {"port": about["port"], "hosts": hosts, "token": about["token"], "size": world.size, "pid": os.getpid()}
    process.stdin.write(json.dumps(line).encode() + b"\n")
    process.stdin.flush()
    if process.stdout.readline() != b"ready\n":
        raise RankError(f"distributed: the process that watches rank {world.rank} could not be started")
    os.set_blocking(process.stdout.fileno(), False)
    return process
