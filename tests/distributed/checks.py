"""What a job of several ranks checks of itself: `mpiexec -n 2 python tests/distributed/checks.py`."""

from __future__ import annotations

import itertools

import numpy as np

import tlean as tl
from tlean import distributed as dist
from tlean import nn

world = dist.world()
ranks = world.size


def close(name: str, found, wanted, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), tolerance, tolerance, err_msg=f"{name}, rank {world.rank}")


def collectives() -> None:
    xs = [np.random.default_rng(k).normal(size=(3, 2)) for k in range(ranks)]
    cs = [np.random.default_rng(10 + k).normal(size=(3, 2)) for k in range(ranks)]
    x, c = xs[world.rank], cs[world.rank]
    total, gathered = sum(np.sin(a) for a in xs), np.concatenate([a**2 for a in xs])
    last, root = xs[-1], ranks - 1

    def reduced(x):
        return tl.sum(tl.mul(tl.square(dist.all_reduce(tl.sin(x))), c))

    def collected(x):
        return tl.sum(tl.mul(dist.all_gather(tl.square(x)), np.concatenate(cs) * (1 + world.rank)))

    def spread(x):
        return tl.sum(tl.mul(tl.sin(dist.broadcast(tl.square(x), root)), c))

    def ring(x):
        # Two messages of one tag, which a compiled program must not take for one.
        after, before = (world.rank + 1) % ranks, (world.rank - 1) % ranks
        sent = dist.send(tl.square(x), after)
        y = dist.recv(x, before)
        sent = sent + dist.send(tl.square(x), after)
        return tl.sum(tl.mul(y, c)) + tl.sum(dist.recv(x, before)) + sent

    here, beside = world.rank, (world.rank + 1) % ranks
    wanted = [
        (reduced, np.sum(total**2 * c), sum(2 * total * a for a in cs) * np.cos(x)),
        (collected, np.sum(gathered * np.concatenate(cs) * (1 + here)), sum(range(1, ranks + 1)) * c * 2 * x),
        (spread, np.sum(np.sin(last**2) * c), np.cos(last**2) * sum(cs) * 2 * last * (here == root)),
    ]
    if ranks > 1:
        wanted += [(ring, np.sum(xs[here - 1] ** 2 * (c + 1)), (cs[beside] + 1) * 2 * x)]
    for f, value, gradient in wanted:
        for make in (lambda f: f, tl.jit):
            close(f.__name__, make(f)(x), value)
            close(f"gradient of {f.__name__}", make(tl.grad(f))(x), gradient)
    big = np.random.default_rng(3 + here).normal(size=9000)
    for ordered in (True, False):
        close(
            "a large sum",
            dist.all_reduce(big, deterministic=ordered),
            sum(np.random.default_rng(3 + k).normal(size=9000) for k in range(ranks)),
        )
    close("tangent", tl.jvp(reduced, (x,), (np.ones_like(x),))[1], np.sum(c * 2 * total * sum(np.cos(a) for a in xs)))
    close("lanes", tl.vmap(dist.all_reduce)(x), sum(xs))
    # A second derivative: of sum over ranks of (total² c), twice along x, by hand.
    all_c = sum(cs)
    second = tl.grad(lambda x: tl.sum(tl.grad(reduced)(x)))(x)
    close("second derivative", second, 2 * all_c * np.cos(x) * sum(np.cos(a) for a in xs) - 2 * total * all_c * np.sin(x))


def steps() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(64, 5)).astype("f"), rng.normal(size=(64, 3)).astype("f")

    def loss(ops, a, b, c, x, y):
        return ops.mse_loss(ops.matmul(ops.dropout(ops.tanh(ops.linear(a, b, x)), 0.1), c), y)

    def run(world, backend, **options):
        r = np.random.default_rng(1 + world.rank)
        values = [r.normal(size=(7, 5)).astype("f"), np.zeros(7, "f"), r.normal(size=(7, 3)).astype("f")]
        if world.size == 1:
            values = first
        trainer = dist.ScalarTrainer(tl.Options(backend=backend, seed=3), values, [(16, 5), (16, 3)], loss, world=world, **options)
        opt = tl.optim.Adam(trainer.params, lr=1e-2)
        losses = []
        for n in (64, 64, 10, 1):
            mine = dist.own_rows(n, world.rank, world.size, options.get("blocks"))
            losses.append(trainer.optim_step(opt, X[mine], Y[mine], clip_norm=1.0, check_finite=True).item())
        return losses, [np.asarray(p).tolist() for p in trainer.get_params()]

    count = 4 if ranks != 3 else 12
    r = np.random.default_rng(1)
    first = [r.normal(size=(7, 5)).astype("f"), np.zeros(7, "f"), r.normal(size=(7, 3)).astype("f")]
    alone = run(dist.World(), "compiled", blocks=count, deterministic=True)
    for backend in ("eager", "compiled"):
        assert run(world, backend, blocks=count, deterministic=True) == alone, f"{backend}: other bits than those of one rank"
    assert run(world, "compiled", blocks=count, deterministic=True, bucket_bytes=64) == alone
    found = run(world, "compiled", deterministic=True)
    assert found == run(world, "compiled", deterministic=True)
    assert len({str(params) for _, params in world.gather(found)}) == 1


def batch_norm() -> None:
    n = 8
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(n, 3, 4, 4)).astype("f"), rng.normal(size=(n, 2)).astype("f")

    def run(fit, **options):
        layers = (
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, 2),
            nn.BatchNorm(2, affine=False, momentum=None),
        )
        model = nn.Sequential(*layers).init(3)
        data = tl.data.DataLoader((X, Y), batch_size=n)
        history = fit(model, data, "mse_loss", lambda p: tl.optim.SGD(p, lr=0.1), 4, validation=(X, Y), verbose=False, **options)
        return history.step_loss, [row["val_loss"] for row in history.epochs], model

    alone, ours = run(tl.fit), run(dist.fit)
    close("losses", ours[0], alone[0], 1e-4)
    close("losses of validation", ours[1], alone[1], 1e-3)
    for name, value in alone[2].state_dict().items():
        close(name, ours[2].state_dict()[name], value, 1e-3)


def failures() -> None:
    def picked(ops, w, x, k):
        return ops.mean(ops.mul(ops.take(w, k, 0), x))

    x, right = np.ones((2, 3), "f"), np.array([0, 4])
    # While it computes, before that, and while the program is recorded for another number of rows.
    wrong = [(x, right + world.rank), (x[:, : 3 - world.rank], right), (x[: 2 - world.rank], right)]
    for backend, inputs in itertools.product(("eager", "compiled"), wrong):
        trainer = dist.ScalarTrainer(tl.Options(backend=backend), [np.ones((5, 3), "f")], [(2, 3), tl.Spec((2,), "int64")], picked)
        trainer.step(0.1, x, right)
        before = np.asarray(trainer.get_params()[0])
        try:
            trainer.step(0.1, *inputs)
        except (tl.IndexRangeError, tl.ShapeError, tl.OptionError):
            assert world.rank >= 1
        except dist.RankError as error:
            assert world.rank == 0 and "failed in this step; nothing was updated" in str(error)
        else:
            raise AssertionError("one rank had wrong inputs")
        assert np.array_equal(np.asarray(trainer.get_params()[0]), before)
        trainer.step(0.1, x, right)
        assert len({str(np.asarray(p).tolist()) for p in world.gather(np.asarray(trainer.get_params()[0]))}) == 1


def ends() -> None:
    class Stop:
        def on_step(self, run):
            if run.world.rank == run.world.size - 1 and run.step == 3:
                run.stop("enough")

    data = np.random.default_rng(0).normal(size=(40, 3)).astype("f")
    history = dist.fit(nn.Linear(3, 3).init(0), (data, data), "mse_loss", batch_size=4, epochs=3, verbose=False, callbacks=[Stop()])
    assert history.ended == "enough" and len(set(world.gather(len(history.step_loss)))) == 1 and 3 <= len(history.step_loss) <= 5


def small_batches() -> None:
    count = 4 if ranks != 3 else 12
    data = np.random.default_rng(0).normal(size=(16, 3)).astype("f")

    def run(world, backend):
        model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm(5), nn.Linear(5, 3)).init(0)
        options = tl.Options(backend=backend, seed=0)
        more = {"accumulate": 2, "clip_norm": 1.0, "deterministic": True, "blocks": count, "sync_batch_norm": False}
        history = dist.fit(model, (data, data), "mse_loss", None, 2, batch_size=8, verbose=False, world=world, options=options, **more)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.epochs]
        return history.step_loss, rows, [v.tolist() for v in model.state_dict().values()]

    # Blocks of two rows, as statistics need.
    if count == 4:
        alone = run(dist.World(), "compiled")
        assert alone == run(world, "compiled") == run(world, "eager")
    model = nn.Linear(3, 3).init(0)
    history = dist.fit(
        model, (data[:10], data[:10]), "mse_loss", batch_size=9, accumulate=2, verbose=False, deterministic=True, blocks=count
    )
    assert len(set(world.gather(str((history.step_loss, model.state_dict()))))) == 1 and np.isfinite(history.step_loss).all()


for check in (collectives, steps, batch_norm, *((failures,) if ranks > 1 else ()), ends, small_batches):
    check()
if world.root:
    print(f"{ranks} ranks: all checks passed")
