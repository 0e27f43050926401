"""What ends a job of which a rank died: a small process beside each rank, which outlives it.

    python watch.py RANK        # started by `World`, with a line of JSON on standard input

It imports nothing of the library. A pipe from its rank says how the rank ends: "q" is a goodbye, "x" and a text an uncaught exception,
the end of the pipe without either a rank that was killed or crashed. The process beside rank 0 is the hub: the others are connected
to it, tell it what became of their ranks, and a sign of life every second. The first bad news ends the job: the hub says which rank it was,
and every process ends its own rank. A launcher may be faster, as it ends all ranks when one dies; the message is written in any case.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

#: Seconds between signs of life, and without any until a rank's machine counts as lost.
BEAT, LOST = 1.0, 6.0
#: Seconds in which the first of several deaths is looked for: a launcher ends the other ranks at once.
SETTLE = 0.3


class Peer:
    """A rank as the hub knows it: the connection, and when it was last heard of."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rank: int | None = None
        self.where = ""
        self.heard: float = time.monotonic()
        self.rest = b""


def say(text: str) -> None:
    """A line to standard error, where anybody still reads it."""
    with contextlib.suppress(OSError, ValueError):
        os.write(2, f"tlean.distributed: {text}\n".encode("ascii", "replace"))


def to_rank(left: int) -> None:
    """Tell the rank beside which rank is done."""
    with contextlib.suppress(OSError):
        os.write(1, b"%d\n" % left)


def end_rank(pid: int, patience: float = 1.0) -> None:
    """End the rank beside: asked first, then forced."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
            limit = time.monotonic() + patience
            while time.monotonic() < limit:
                time.sleep(0.02)
                os.kill(pid, 0)
        except OSError:
            return


class Watch:
    """The process beside one rank.

    Args:
        rank, size: of the job.
        pid: the rank's.
        listener: the hub's socket; None beside the other ranks.
        hub: the connection to the hub; None beside rank 0.
        token: what the ranks of one job have in common.
    """

    hub_heard: float
    beat: float

    rank: int
    size: int
    pid: int
    token: str
    listener: Any
    hub: Any
    rest: bytes
    hub_rest: bytes

    def __init__(self, rank: int, size: int, pid: int, listener: Any, hub: Any, token: str) -> None:
        self.rank, self.size, self.pid, self.token = rank, size, pid, token
        self.listener, self.hub = listener, hub
        self.peers: list[Peer] = []
        self.gone: set[int] = set()
        #: (when, rank, what happened) of every death that was told.
        self.deaths: list[tuple[float, int, str]] = []
        self.note: str = ""
        self.decided: float = 0.0
        self.rest = b""
        self.hub_rest = b""
        self.hub_heard = self.beat = time.monotonic()
        self.pipe_open: bool = True
        # Readable when the rank has ended, though a process that it forked may still have its end of the pipe.
        self.life: int | None = None
        with contextlib.suppress(OSError, AttributeError):
            self.life = os.pidfd_open(pid)

    # What this process's rank says.

    def own(self) -> None:
        """Read the pipe from the rank."""
        try:
            data = os.read(0, 65536)
        except BlockingIOError:
            data = b""
        self.rest += data
        while b"\n" in self.rest:
            line, _, self.rest = self.rest.partition(b"\n")
            kind, text = line[:1], line[1:].decode("utf-8", "replace")
            if kind == b"n":
                self.note = text
            elif kind == b"q" and not self.dead(self.rank):
                self.goodbye()
            elif kind == b"x":
                self.tell_death(f"ended with {text}")
        if not data:
            self.pipe_open = False
            if self.rank not in self.gone and not self.dead(self.rank):
                self.tell_death("died without a word (it was killed, or it crashed)")

    def dead(self, rank: int) -> bool:
        """Whether a rank's death was told."""
        return any(r == rank for _, r, _ in self.deaths)

    def goodbye(self) -> None:
        """The rank is done."""
        self.gone.add(self.rank)
        self.to_hub({"bye": self.rank})
        self.tell_left(self.rank)

    def tell_left(self, rank: int) -> None:
        """The hub's part: every rank hears that one is done."""
        if self.hub is None:
            to_rank(rank)
            for peer in self.peers:
                with contextlib.suppress(OSError):
                    peer.sock.sendall(json.dumps({"left": rank}).encode() + b"\n")

    def tell_death(self, what: str) -> None:
        """The rank ended badly."""
        text = f"rank {self.rank} (pid {self.pid} on {socket.gethostname()}) {what}"
        death = (time.time(), self.rank, text + (f"; {self.note}" if self.note else ""))
        self.deaths.append(death)
        self.to_hub({"death": death})

    def to_hub(self, message: dict[str, Any]) -> None:
        """Tell the hub, which may be this process."""
        if self.hub is not None:
            with contextlib.suppress(OSError):
                self.hub.sendall(json.dumps(message).encode() + b"\n")

    # What the others say.

    def accept(self) -> None:
        """A rank's process reports to the hub."""
        sock, _ = self.listener.accept()
        sock.settimeout(5.0)
        self.peers.append(Peer(sock))

    def hear(self, peer: Peer) -> None:
        """Read what a rank's process says."""
        try:
            data = peer.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.peers.remove(peer)
            if peer.rank is not None and peer.rank not in self.gone and not self.dead(peer.rank):
                self.deaths.append((time.time(), peer.rank, f"rank {peer.rank} ({peer.where}) is lost: its connection broke"))
            return
        peer.heard = time.monotonic()
        peer.rest += data
        while b"\n" in peer.rest:
            line, _, peer.rest = peer.rest.partition(b"\n")
            message = json.loads(line)
            if peer.rank is None:
                if message.get("token") != self.token:
                    self.peers.remove(peer)
                    return
                peer.rank, peer.where = int(message["rank"]), str(message["where"])
            elif "bye" in message:
                self.gone.add(peer.rank)
                self.tell_left(peer.rank)
            elif "death" in message:
                when, rank, text = message["death"]
                self.deaths.append((float(when), int(rank), str(text)))

    def from_hub(self) -> None:
        """Read what the hub says: which ranks are done, or that the job ends."""
        try:
            data = self.hub.recv(65536)
        except OSError:
            data = b""
        self.hub_rest += data
        self.hub_heard = time.monotonic()
        while b"\n" in self.hub_rest:
            line, _, self.hub_rest = self.hub_rest.partition(b"\n")
            message = json.loads(line)
            if "left" in message:
                to_rank(int(message["left"]))
            elif "end" in message:
                end_rank(self.pid)
                raise SystemExit(0)
        if not data:
            self.hub_lost()

    def hub_lost(self) -> None:
        """The process beside rank 0 is gone, or silent."""
        if self.rank not in self.gone:
            say(f"the machine of rank 0 is lost, or the process beside that rank; rank {self.rank} ends{self.note and '; ' + self.note}")
            end_rank(self.pid)
        raise SystemExit(0)

    def beats(self) -> bool:
        """Whether it is time for a sign of life."""
        now = time.monotonic()
        due = now - self.beat >= BEAT / 2
        self.beat = now if due else self.beat
        return due

    # The loop.

    def look(self) -> None:
        """The hub's part: ranks that are silent, and the end of the job."""
        now = time.monotonic()
        if self.beats():
            for peer in self.peers:
                with contextlib.suppress(OSError):
                    peer.sock.sendall(b'{"alive": 0}\n')
        for peer in list(self.peers):
            if peer.rank is not None and now - peer.heard > LOST and peer.rank not in self.gone:
                self.peers.remove(peer)
                self.deaths.append((time.time(), peer.rank, f"rank {peer.rank} ({peer.where}) is silent since {LOST:g} s"))
        if self.deaths and not self.decided:
            self.decided = now
        if self.decided and now - self.decided > SETTLE:
            _, _, text = min(self.deaths)
            say(f"{text}; the job of {self.size} ranks ends")
            for peer in self.peers:
                with contextlib.suppress(OSError):
                    peer.sock.sendall(b'{"end": true}\n')
            end_rank(self.pid)
            raise SystemExit(0)
        if not self.pipe_open and not self.deaths and len(self.gone) == self.size:
            raise SystemExit(0)

    def run(self) -> None:
        """Watch until the job is over."""
        while True:
            sources: list[Any] = [0] if self.pipe_open else []
            sources += [self.life] if self.pipe_open and self.life is not None else []
            sources += [self.hub] if self.hub is not None else [self.listener, *(p.sock for p in self.peers)]
            ready, _, _ = select.select(sources, [], [], 0.1 if self.decided else BEAT / 2)
            if self.life in ready:
                os.set_blocking(0, False)
            while 0 in ready or self.life in ready:
                self.own()
                if self.life not in ready or not self.pipe_open:
                    break
            if self.hub is not None:
                if self.hub in ready:
                    self.from_hub()
                if self.beats():
                    self.to_hub({"alive": self.rank})
                if time.monotonic() - self.hub_heard > LOST:
                    self.hub_lost()
                if self.rank in self.gone and not self.pipe_open:
                    raise SystemExit(0)
                continue
            if self.listener in ready:
                self.accept()
            for peer in [p for p in self.peers if p.sock in ready]:
                self.hear(peer)
            self.look()


def main() -> None:
    """Set up from the first line of standard input, then watch."""
    rank = int(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    line = b""
    listener = None
    if rank == 0:
        listener = socket.socket()
        listener.bind(("", 0))
        listener.listen(1024)
        os.write(1, f"{listener.getsockname()[1]}\n".encode())
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            raise SystemExit(0)
        line += byte
    about = json.loads(line)
    hub = None
    if rank:
        hub = connected(about["hosts"], about["port"])
        hello = {"rank": rank, "token": about["token"], "where": f"pid {about['pid']} on {socket.gethostname()}"}
        hub.sendall(json.dumps(hello).encode() + b"\n")
    os.write(1, b"ready\n")
    Watch(rank, about["size"], about["pid"], listener, hub, about["token"]).run()


def connected(hosts: list[str], port: int) -> socket.socket:
    """A connection to the hub, by the first of its names that answers. Raises: OSError."""
    for host in hosts:
        with contextlib.suppress(OSError):
            return socket.create_connection((host, port), timeout=5.0)
    raise OSError(f"the process beside rank 0 cannot be reached at {', '.join(hosts)}, port {port}")


if __name__ == "__main__":
    main()
