"""What the ranks of a job compute, and how a job ends: in one process, with mirror images as the other ranks."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mirror import MirrorWorld

import tlean as tl
from tlean import nn
from tlean.distributed import RankError, blocks, sums
from tlean.distributed.nccl import DeviceSum

ROOT = Path(__file__).parents[2]

# How a batch is cut -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 8, 12])
def test_blocks_and_their_tree_are_those_of_every_number_of_ranks(count):
    for rows in (0, 1, 5, 23, 64):
        parts = blocks.cut(rows, count)
        assert [i for p in parts for i in range(rows)[p]] == list(range(rows)) and len(parts) == count
        whole = blocks.pairwise([(k,) for k in range(count)], lambda a, b: (a, b))
        for ranks in range(1, count + 1):
            try:
                each = blocks.share(count, ranks)
            except tl.OptionError:
                assert count % ranks or (count // ranks) & (count // ranks - 1)
                continue
            mine, sums_ = [], []
            for rank in range(ranks):
                own = blocks.own_rows(rows, rank, ranks, count)
                # A rank cuts its own rows by their number alone.
                mine += [slice(own.start + p.start, own.start + p.stop) for p in blocks.cut(own.stop - own.start, each)]
                sums_.append(blocks.pairwise([(rank * each + k,) for k in range(each)], lambda a, b: (a, b)))
            assert mine == parts
            assert blocks.pairwise(sums_, lambda a, b: (a, b)) == whole


def test_buckets_go_from_the_last_parameter_to_the_first():
    assert sums.grouped([10, 50, 20, 100, 5], 60) == [[3], [4, 2], [1, 0]]
    assert sums.grouped([], 60) == []


# Steps of mirror images ---------------------------------------------------------------------------------------------------------

X, Y = (np.random.default_rng(k).normal(size=(12, n)).astype("f") for k, n in enumerate((6, 3)))


def plain(ops, a, b, c, x, y):
    h = ops.tanh(ops.linear(a, b, x))
    return ops.mse_loss(ops.matmul(h, c), y), h


def random(ops, a, b, c, x, y):
    return plain(ops, a, b, c, ops.dropout(x, 0.25), y)


def values():
    r = np.random.default_rng(3)
    return [r.normal(size=(8, 6)).astype("f"), np.zeros(8, "f"), r.normal(size=(8, 3)).astype("f")]


def trained(loss, backend, steps=3, **options):
    trainer = tl.distributed.ScalarTrainer(tl.Options(backend=backend, seed=5), values(), [(12, 6), (12, 3)], loss, **options)
    opt = tl.optim.Adam(trainer.params, lr=1e-2)
    losses = [trainer.optim_step(opt, X[:n], Y[:n], clip_norm=0.5, check_finite=True).item() for n in (12, 12, 7)[:steps]]
    return trainer, losses, [np.asarray(p) for p in trainer.get_params()]


def test_a_trainer_is_pickled_with_how_it_sums():
    trainer, losses, _ = trained(plain, "compiled", world=tl.distributed.World(), blocks=4, deterministic=True)
    again = pickle.loads(pickle.dumps(trainer))
    assert again.how[1:] == trainer.how[1:] == (4, True, tl.distributed.trainer.BUCKET_BYTES)
    assert again.forward(X, Y).item() == trainer.forward(X, Y).item() and len(losses) == 3


@pytest.mark.parametrize("options", [{}, {"deterministic": True}, {"deterministic": True, "bucket_bytes": 64}])
def test_the_plan_with_exchanges_has_the_bits_of_a_rank_alone(options):
    # The mean over mirror images is that of one, exactly: sums of two equal numbers are.
    _, losses, params = trained(plain, "compiled", world=tl.distributed.World())
    for asks in (1, 9):
        world = MirrorWorld(2, 0, asks)
        _, found, made = trained(plain, "compiled", world=world, **options)
        assert found == losses and all(np.array_equal(a, b) for a, b in zip(made, params, strict=True))
        assert {n for _, n, *_ in world.log} == set(range(1, 1 + (3 if "bucket_bytes" in options else 1)))


def test_eager_steps_have_the_bits_of_compiled_ones():
    for count in (None, 4):
        for world in (MirrorWorld(2, 1), tl.distributed.World()):
            runs = [trained(random, b, world=world, blocks=count) for b in ("eager", "compiled")]
            assert runs[0][1] == runs[1][1]
            assert runs[0][0]._steps.stream_state == runs[1][0]._steps.stream_state == (5, 3 * (count or world.size))
            assert all(np.array_equal(a, b) for a, b in zip(runs[0][2], runs[1][2], strict=True))


def test_sums_begin_inside_the_backward_pass_and_in_place():
    world = MirrorWorld(2)
    sizes = (64, 32, 32, 16)
    params = [np.ones((a, b), "f") / a for a, b in itertools.pairwise(sizes)]

    def deep(ops, *refs):
        *weights, x = refs
        for w in weights:
            x = ops.tanh(ops.matmul(x, w))
        return ops.mean(x)

    options = tl.Options(backend="compiled")
    trainer = tl.distributed.ScalarTrainer(options, params, [(4, 64)], deep, world=world, bucket_bytes=2048)
    trainer.step(0.1, np.ones((4, 64), "f"))
    (trace,) = trainer._steps._made.values()
    program = trace.run.plan.program
    calls = [(k, s.nodes[0].record.name) for k, s in enumerate(program.steps) if s.nodes and s.nodes[0].record.host]
    assert sum(name.startswith("poll") for _, name in calls) >= 3
    calls = [(k, name) for k, name in calls if not name.startswith("poll")]
    names = [name for _, name in calls]
    assert names == [*(f"begin bucket {k}" for k in range(4)), *(f"end bucket {k}" for k in range(4))]
    at = {name: k for k, name in calls}
    between = [s.kernel for s in program.steps[at["begin bucket 0"] : at["begin bucket 2"]]]
    assert any("matmul" in name for name in between), between
    # A bucket is summed in the memory in which its gradient was computed, and the update reads it there.
    assert all(program.steps[k].in_place == {0: program.steps[k].inputs} for k, _ in calls)
    buffers = [address for _, _, address, _ in world.log]
    assert len(set(buffers)) == 4


def test_a_rank_that_fails_sends_what_it_owes_and_the_others_raise():
    def picked(ops, w, x, k):
        return ops.mean(ops.mul(ops.take(w, k, 0), x))

    world = MirrorWorld(2)
    w, x = np.ones((5, 3), "f"), np.ones((2, 3), "f")
    make = lambda: tl.distributed.ScalarTrainer(  # noqa: E731
        tl.Options(backend="compiled"), [w], [(2, 3), tl.Spec((2,), "int64")], picked, world=world
    )
    trainer = make()
    trainer.step(0.1, x, np.array([0, 4]))
    before = np.asarray(trainer.get_params()[0])
    world.log.clear()
    with pytest.raises(tl.IndexRangeError):
        trainer.step(0.1, x, np.array([0, 5]))
    assert [n for _, n, *_ in world.log] == [1], "the bucket that the others wait for went out"
    assert np.array_equal(np.asarray(trainer.get_params()[0]), before)
    # What the others then see: the numbers of a rank that failed.
    exchange = sums.Exchange(world, [sums.HEAD], "float32", False)
    exchange.start()
    head = np.zeros(sums.HEAD, "f")
    head[sums.FAILED], head[sums.WHO] = 0.5, 1.5
    exchange.begin(0, head)
    with pytest.raises(RankError, match="rank 3 failed in this step; nothing was updated"):
        exchange.end(0)


def test_rows_that_a_rank_lacks_count_as_none():
    world = MirrorWorld(2)
    for backend in ("eager", "compiled"):
        trainer, *_ = trained(random, backend, 1, world=world, blocks=8)
        assert len(trainer.aux) == 4
        value = trainer.forward(X[:2], Y[:2])
        assert np.isfinite(value.item()) and len(trainer.aux) == 2


# Runs ---------------------------------------------------------------------------------------------------------------------------


def test_fit_of_a_rank_alone_is_fit(tmp_path):
    def run(fit, **options):
        model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm(5), nn.Linear(5, 3)).init(2)
        every = {"batch_size": 5, "epochs": 2, "verbose": False, "validation": (X, Y), "clip_norm": 1.0, "accumulate": 2, **options}
        history = fit(model, (X, Y), "mse_loss", lambda p: tl.optim.SGD(p, lr=0.1, momentum=0.9), **every)
        return np.array(history.step_loss), [row["val_loss"] for row in history.epochs], model

    pytest.importorskip("safetensors")
    alone = run(tl.fit)
    ranks = run(tl.distributed.fit, checkpoint=tmp_path / "c.safetensors", world=tl.distributed.World())
    np.testing.assert_allclose(alone[0], ranks[0], rtol=1e-5)
    np.testing.assert_allclose(alone[1], ranks[1], rtol=1e-5)
    for a, b in zip(alone[2].state_dict().values(), ranks[2].state_dict().values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    # A checkpoint of the one goes on in the other.
    more = run(tl.fit, checkpoint=tmp_path / "c.safetensors", resume=True, epochs=3)
    assert len(more[0]) == 3 * len(alone[0]) // 2


def test_what_the_ranks_cannot_share_is_said():
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm(5), nn.Linear(5, 3)).init(2)
    with pytest.raises(tl.OptionError, match="got 6 blocks for 2 ranks"):
        tl.distributed.shard([(X, Y)], MirrorWorld(2), blocks=6)
    with pytest.raises(tl.OptionError, match="sync_batch_norm=False"):
        tl.distributed.fit(model, (X, Y), "mse_loss", blocks=2)
    with pytest.raises(tl.OptionError, match="to must be another rank"):
        tl.distributed.send(X, 0)


def test_shards_are_the_rows_of_a_single_process():
    whole = list(tl.data.DataLoader((X, Y), batch_size=5, shuffle=True, seed=1))
    for transform in (None, lambda rng, x, y: (x + 1, y)):
        loaders = [tl.data.DataLoader((X, Y), batch_size=5, shuffle=True, seed=1, transform=transform, prefetch=2) for _ in range(4)]
        ranks = [list(tl.distributed.shard(loader, MirrorWorld(4, r))) for r, loader in enumerate(loaders)]
        for k, batch in enumerate(whole):
            joined = np.concatenate([r[k][0] for r in ranks])
            assert np.array_equal(joined, batch[0] + (transform is not None)) and ranks[0][k].rows == len(batch[0])
        assert loaders[0].state_dict() == {"seed": 1, "epoch": 1, "batch": 0}


# Ends of jobs -------------------------------------------------------------------------------------------------------------------


def watchers(size):
    """Processes in place of ranks, each with its watch, connected to that of rank 0."""
    path = ROOT / "tlean" / "distributed" / "watch.py"
    ranks = [subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) for _ in range(size)]
    found = []
    port = 0
    for k, rank in enumerate(ranks):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        watch = subprocess.Popen([sys.executable, "-S", "-E", str(path), str(k)], **pipes)
        port = port or int(watch.stdout.readline())
        about = {"port": port, "hosts": ["127.0.0.1"], "token": "t", "size": size, "pid": rank.pid}
        watch.stdin.write(json.dumps(about).encode() + b"\n")
        watch.stdin.flush()
        assert watch.stdout.readline() == b"ready\n"
        found.append(watch)
    return ranks, found


@pytest.mark.parametrize(("last", "said"), [(b"", "died without a word"), (b"xValueError: bad\n", "ended with ValueError: bad")])
def test_a_death_ends_every_rank_and_is_named(last, said):
    ranks, watches = watchers(3)
    begun = time.monotonic()
    watches[2].stdin.write(b"nthe checkpoint is there\n" + last)
    watches[2].stdin.close()
    ranks[2].kill()
    for process in (*ranks, *watches):
        process.wait(10)
    assert time.monotonic() - begun < 10
    text = b"".join(w.stderr.read() for w in watches).decode()
    assert text.count("\n") == 1 and f"rank 2 (pid {ranks[2].pid} on " in text, text
    assert said in text and text.endswith("; the checkpoint is there; the job of 3 ranks ends\n")
    assert [r.returncode for r in ranks] == [-signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL]
    for w in watches:
        w.stdout.close()
        w.stderr.close()
        if not w.stdin.closed:
            w.stdin.close()


def test_a_job_that_is_done_ends_in_silence():
    ranks, watches = watchers(2)
    watches[1].stdin.write(b"q\n")
    watches[1].stdin.close()
    assert watches[0].stdout.readline() == b"1\n", "the others are told who left"
    watches[0].stdin.write(b"q\n")
    watches[0].stdin.close()
    for rank, w in zip(ranks, watches, strict=True):
        w.wait(10)
        assert w.returncode == 0 and w.stderr.read() == b""
        rank.kill()
        rank.wait()
        w.stdout.close()
        w.stderr.close()


# Without packages ---------------------------------------------------------------------------------------------------------------


def test_without_mpi4py_a_script_runs_alone_and_a_job_says_what_is_missing():
    code = "import sys; sys.modules['mpi4py'] = None\nimport tlean as tl\nprint(tl.distributed.world())"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI"))} | {"PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout == "<rank 0 of 1>\n"
    done = subprocess.run(run, env=env | {"PMI_SIZE": "2"}, capture_output=True, text=True)
    assert done.returncode == 1 and "ImportError: tl.distributed needs the package mpi4py and an MPI: pip install" in done.stderr


# NCCL -----------------------------------------------------------------------------------------------------------------------------


def test_arrays_of_devices_are_summed_by_nccl_where_they_are():
    calls = []

    class Section:
        def __enter__(self):
            calls.append("enter")

        def __exit__(self, *error):
            calls.append("exit")

    class Unique:
        def __bytes__(self):
            return b"unique"

        @staticmethod
        def from_bytes(data):
            return ("id", data)

    class Communicator:
        @classmethod
        def init(cls, nranks, rank, unique_id, config=None):
            calls.append(("init", nranks, rank, unique_id))
            return cls()

        def allreduce(self, sendbuf, recvbuf, op, *, stream=None, config=None):
            calls.append(("allreduce", sendbuf is recvbuf, op, stream))
            recvbuf *= 2

    nccl = SimpleNamespace(get_unique_id=Unique, UniqueId=Unique, Communicator=Communicator, SUM="sum", group=Section)
    where = SimpleNamespace(current=Section, stream=SimpleNamespace(handle=77))
    total = DeviceSum(nccl, MirrorWorld(4, 0), where)
    arrays = [np.ones(3), np.ones((2, 2))]
    total.all_reduce(arrays)
    assert all((a == 2).all() for a in arrays)
    one = ("allreduce", True, "sum", 77)
    assert calls == ["enter", ("init", 4, 0, ("id", b"unique")), "exit", "enter", "enter", one, one, "exit", "exit"]


def test_device_sums_need_the_package_on_every_rank(monkeypatch):
    monkeypatch.setattr("tlean.distributed.nccl.package", lambda: None)
    assert DeviceSum.of(MirrorWorld(2), None) is None
    monkeypatch.setattr("tlean.distributed.nccl.package", dict)
    assert DeviceSum.of(MirrorWorld(1), None) is None
