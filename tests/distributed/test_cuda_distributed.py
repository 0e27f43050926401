"""Steps of ranks on devices: gradients through the host, and summed where they are by a stand-in for nccl4py; on a GPU or its emulation."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

import tlean as tl
from tests.distributed.mirror import MirrorWorld

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

X, Y = (np.random.default_rng(k).normal(size=(12, n)).astype("f") for k, n in enumerate((6, 3)))


def loss(ops, a, b, c, x, y):
    return ops.mse_loss(ops.matmul(ops.tanh(ops.linear(a, b, x)), c), y)


def trained(world, device, backend="compiled", **options):
    r = np.random.default_rng(3)
    values = [r.normal(size=(8, 6)).astype("f"), np.zeros(8, "f"), r.normal(size=(8, 3)).astype("f")]
    settings = tl.Options(backend=backend, device=device, seed=5)
    trainer = tl.distributed.ScalarTrainer(settings, values, [(12, 6), (12, 3)], loss, world=world, **options)
    opt = tl.optim.Adam(trainer.params, lr=1e-2)
    losses = [trainer.optim_step(opt, X[:n], Y[:n], clip_norm=0.5, check_finite=True).item() for n in (12, 12, 7)]
    return losses, [np.asarray(p.numpy()) for p in trainer.get_params()]


def near(found, wanted):
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-4)
    for a, b in zip(found[1], wanted[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_through_the_host(backend, monkeypatch):
    monkeypatch.setattr("tlean.distributed.nccl.package", lambda: None)
    wanted = trained(tl.distributed.World(), "cpu")
    near(trained(MirrorWorld(2), "cuda", backend), wanted)
    near(trained(tl.distributed.World(), "cuda", backend, blocks=4, deterministic=True), wanted)


@pytest.mark.parametrize("blocks", [None, 4])
def test_by_nccl(blocks, monkeypatch):
    calls = []

    class Communicator:
        @classmethod
        def init(cls, nranks, rank, unique_id, config=None):
            return cls()

        def allreduce(self, sendbuf, recvbuf, op, *, stream=None, config=None):
            # The mirror image has the same numbers.
            calls.append((sendbuf is recvbuf, op, stream))
            doubled = tl.cuda.to_device(sendbuf.numpy() * 2)
            with sendbuf.context.current() as driver:
                driver.memcpy_dtod_async(recvbuf.address, doubled.address, recvbuf.nbytes, recvbuf.context.stream)
                recvbuf.context.stream.synchronize()

    nccl = SimpleNamespace(
        get_unique_id=lambda: b"id",
        UniqueId=SimpleNamespace(from_bytes=lambda data: data),
        Communicator=Communicator,
        SUM="sum",
        group=contextlib.nullcontext,
    )
    monkeypatch.setattr("tlean.distributed.nccl.package", lambda: nccl)
    near(trained(MirrorWorld(2), "cuda", blocks=blocks), trained(tl.distributed.World(), "cpu"))
    stream = calls[0][2]
    assert calls == [(True, "sum", stream)] * 9 and isinstance(stream, int), "each of three gradients, in three steps"
