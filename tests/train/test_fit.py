"""`tl.fit`: what it trains, shows, writes and keeps; stopped and resumed runs end with the bits of a whole one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.errors import NumericsError, OptionError
from tlean.train.loop import Meter

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(90, 4)).astype(np.float32)
CLASSES = (POINTS[:, 0] * POINTS[:, 1] > 0).astype(np.int64) + (POINTS[:, 2] > 0.5)
DATA, HELD = (POINTS[:70], CLASSES[:70]), (POINTS[70:], CLASSES[70:])
ROWS = ("epoch", "step", "loss", "lr")


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm(16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 3)).init(1)


def run(model: Any = None, **options: Any) -> tuple[tl.train.history.History, dict[str, np.ndarray]]:
    model = net() if model is None else model
    optimizer = tl.optim.Adam(model.parameters(), lr=0.02)
    history = tl.fit(model, DATA, "cross_entropy", optimizer, **{"epochs": 3, "batch_size": 16, "verbose": False, **options})
    return history, model.state_dict()


def _written(folder: Path) -> int:
    path = folder / "c.safetensors"
    return path.stat().st_mtime_ns if path.exists() else 0


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(v, other[k]) for k, v in one.items())


def rows(history: Any) -> list[tuple[float, ...]]:
    return [tuple(v for k, v in row.items() if k != "seconds") for row in history.epochs]


class TestTraining:
    def test_it_learns(self) -> None:
        model = net()
        history, _ = run(model, epochs=40, validation=HELD)
        assert history.ended == "done" and len(history.epochs) == 40 and len(history.step_loss) == 40 * 5
        assert history.epochs[-1]["loss"] < 0.5 * history.epochs[0]["loss"]
        assert history.epochs[-1]["accuracy"] > 0.75
        last = history.epochs[-1]
        assert last["val_accuracy"] == pytest.approx(nn.accuracy(model.predict(HELD[0]), HELD[1]))
        assert model.training and history.column("val_loss")[-1] == last["val_loss"]

    def test_backends_give_the_same_bits(self) -> None:
        found = [run(validation=HELD, options=tl.Options(backend=b, seed=3)) for b in ("eager", "compiled")]
        assert same(found[0][1], found[1][1]) and rows(found[0][0]) == rows(found[1][0])

    def test_evaluation_is_the_mean_over_samples(self) -> None:
        model = net()
        history, _ = run(model, epochs=1, validation=tl.data.DataLoader(HELD, 7), metrics={"first": lambda y, t: y[:, 0].mean()})
        scores = model.predict(HELD[0]).numpy()
        log = np.log(np.exp(scores).sum(1)) - scores[np.arange(20), HELD[1]]
        assert history.epochs[0]["val_loss"] == pytest.approx(log.mean(), rel=1e-5)
        assert history.epochs[0]["val_first"] == pytest.approx(scores[:, 0].mean(), rel=1e-5)

    @pytest.mark.parametrize("clip", [None, 0.1])
    def test_accumulated_batches_are_one_large_batch(self, clip: float | None) -> None:
        def made(**options: Any) -> dict[str, np.ndarray]:
            model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).init(2).to("float64")
            optimizer = tl.optim.MomentumSGD(model.parameters(), lr=0.1, momentum=0.9)
            history = tl.fit(model, DATA, "cross_entropy", optimizer, epochs=2, verbose=False, seed=5, clip_norm=clip, **options)
            assert len(history.step_loss) == 6
            return model.state_dict() | {"losses": np.array(history.step_loss)}

        large, small = made(batch_size=24), made(batch_size=8, accumulate=3)
        for name, value in large.items():
            np.testing.assert_allclose(small[name], value, rtol=1e-9, atol=1e-12)

    def test_schedule_and_optimizer_by_function(self) -> None:
        seen: list[float] = []

        class Watch:
            def on_step(self, run: Any) -> None:
                seen.append(run.optimizer.lr)

        tl.fit(
            net(),
            DATA,
            "cross_entropy",
            lambda ps: tl.optim.SGD(ps, lr=1.0),
            epochs=2,
            batch_size=35,
            schedule=lambda opt, steps: tl.optim.CosineAnnealingLR(opt, steps),
            callbacks=[Watch()],
            verbose=False,
        )
        np.testing.assert_allclose(seen, [(1 + np.cos(np.pi * k / 4)) / 2 for k in (1, 2, 3, 4)], atol=1e-12)

    def test_a_loss_of_one_s_own_with_two_inputs(self) -> None:
        class Both(nn.Module):
            def __init__(self) -> None:
                self.one, self.two = nn.Linear(4, 1), nn.Linear(4, 1, bias=False)

            def forward(self, ops: Any, x: Any, y: Any) -> Any:
                return ops.add(self.one(ops, x), self.two(ops, y))

        target = (POINTS @ np.float32([[1], [2], [3], [4]])).astype(np.float32)
        model = Both().init(0)
        history = tl.fit(
            model,
            (POINTS, POINTS[::-1].copy(), target),
            lambda ops, out, t: ops.mean(ops.square(ops.sub(out, t))),
            tl.optim.Adam(model.parameters(), lr=0.1),
            epochs=30,
            inputs=2,
            verbose=False,
        )
        assert list(history.epochs[0]) == [*ROWS[:3], "lr", "seconds"] and history.epochs[-1]["loss"] < 0.01

    def test_frozen_parameters_stay(self) -> None:
        model = net()
        model[0].weight.requires_grad = False
        _, after = run(model)
        assert np.array_equal(after["0.weight"], net().state_dict()["0.weight"])
        assert not np.array_equal(after["0.bias"], net().state_dict()["0.bias"])


class TestStopping:
    def test_early_stopping_puts_the_best_epoch_back(self) -> None:
        kept: list[dict[str, np.ndarray]] = []
        history, state = run(
            epochs=200, validation=HELD, patience=4, callbacks=[lambda run: kept.append(run.model.state_dict())], monitor="val_accuracy"
        )
        values = history.column("val_accuracy")
        best = values.index(max(values))
        assert history.ended == f"no better val_accuracy since epoch {best + 1}" and len(values) == best + 5
        assert same(state, kept[best]) and not same(state, kept[-1])

    def test_a_callback_stops_it(self) -> None:
        history, _ = run(callbacks=[lambda run: run.stop("enough") if run.epoch == 2 else None])
        assert history.ended == "enough" and len(history.epochs) == 2

    @pytest.mark.parametrize("at", [1, 4, 5, 7, 10, 15])
    @pytest.mark.parametrize("prefetch", [0, 2])
    def test_ctrl_c_keeps_a_checkpoint_that_goes_on_bit_for_bit(self, at: int, prefetch: int, tmp_path: Path) -> None:
        def loader() -> Any:
            return tl.data.DataLoader(DATA, 16, shuffle=True, seed=9, prefetch=prefetch)

        def made(**options: Any) -> tuple[Any, Any, dict[str, np.ndarray]]:
            model = net()
            history = tl.fit(
                model,
                loader(),
                "cross_entropy",
                tl.optim.Adam(model.parameters(), lr=0.02),
                3,
                validation=HELD,
                schedule=lambda opt, steps: tl.optim.StepLR(opt, 4, 0.5),
                verbose=False,
                **options,
            )
            return model, history, model.state_dict()

        class Press:
            def on_step(self, run: Any) -> None:
                if run.step == at:
                    os.kill(os.getpid(), signal.SIGINT)

        _, whole, expected = made()
        before = signal.getsignal(signal.SIGINT)
        model, first, _ = made(checkpoint=tmp_path / "c.safetensors", callbacks=[Press()])
        assert signal.getsignal(signal.SIGINT) is before
        assert first.ended == ("interrupted") and len(first.step_loss) == at
        assert model.predict(HELD[0]).shape == (20, 3)
        _, second, resumed = made(checkpoint=tmp_path / "c.safetensors", resume=True)
        assert second.ended == "done" and same(resumed, expected)
        assert second.step_loss == whole.step_loss and rows(second) == rows(whole)
        assert threading.active_count() == 1 or all(t.name != "tlean prefetch" for t in threading.enumerate())

    def test_killed_at_any_moment_it_goes_on_bit_for_bit(self, tmp_path: Path) -> None:
        program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_fit
_, state = test_fit.run(epochs=400, validation=test_fit.HELD, checkpoint="c.safetensors", checkpoint_every=2, resume=True)
test_fit.np.savez("end.npz", **state)
"""
        expected = run(epochs=400, validation=HELD)[1]
        moments, kills = np.random.default_rng(1), 0
        while not (tmp_path / "end.npz").exists():
            process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
            deadline = time.monotonic() + 30
            before = _written(tmp_path)
            while process.poll() is None and _written(tmp_path) == before and time.monotonic() < deadline:
                time.sleep(0.005)
            try:
                # Killed a while after it began to write; in the end it is let run.
                process.wait(timeout=moments.uniform(0, 0.15) if kills < 4 else 120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        assert kills == 4
        with np.load(tmp_path / "end.npz") as end:
            assert same(dict(end), expected)

    def test_a_second_ctrl_c_is_raised(self) -> None:
        class Press:
            def on_step(self, run: Any) -> None:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            run(callbacks=[Press()])

    def test_a_finished_run_is_not_run_again_and_can_be_made_longer(self, tmp_path: Path) -> None:
        path = tmp_path / "c.safetensors"
        _, first = run(checkpoint=path)
        _, again = run(checkpoint=path, resume=True)
        assert same(first, again)
        longer, more = run(checkpoint=path, resume=True, epochs=5)
        assert same(more, run(epochs=5)[1]) and [r["epoch"] for r in longer.epochs] == [1, 2, 3, 4, 5]

    def test_a_loader_that_was_used_before(self) -> None:
        loader = tl.data.DataLoader(DATA, 16, shuffle=True, seed=9)
        model, steps = net(), []
        for _ in range(2):
            history = tl.fit(model, loader, "cross_entropy", epochs=2, verbose=False)
            assert [row["epoch"] for row in history.epochs] == [1, 2]
            steps += history.step_loss
        assert len(steps) == 20 and loader.epoch == 4
        next(iter(loader))
        history = tl.fit(model, loader, "cross_entropy", epochs=1, verbose=False)
        assert len(history.step_loss) == 4 and loader.state_dict() == {"seed": 9, "epoch": 5, "batch": 0}

    def test_in_another_thread(self) -> None:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(run()))
        thread.start()
        thread.join()
        assert same(found[0][1], run()[1])


class TestOutput:
    def test_plain_lines(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
        run(verbose=True, validation=HELD, unit="points")
        shown = capsys.readouterr()
        assert shown.out == ""
        lines = shown.err.splitlines()
        assert len(lines) == 6
        assert lines[0].startswith("epoch 1/3  100%  loss ") and "accuracy" in lines[0] and lines[0].endswith("points/s  0 s left")
        assert lines[1].startswith("epoch 1/3  loss ") and "val_accuracy" in lines[1]

    def test_a_bar_on_a_terminal(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("tqdm", reason="the bar is tqdm's")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        run(verbose=True, epochs=1)
        assert "\r" in capsys.readouterr().err

    def test_json_lines(self, tmp_path: Path) -> None:
        history, _ = run(log=tmp_path / "log.jsonl", metrics={"nothing": lambda y, t: float("nan")})
        read = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [r["epoch"] for r in read] == [1, 2, 3] and read[0]["nothing"] is None
        assert [r["loss"] for r in read] == history.column("loss")

    def test_curves(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
        run(validation=HELD, curves=tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

    def test_tensorboard_events(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []

        class SummaryWriter:
            def __init__(self, folder: str) -> None:
                told.append(folder)

            def add_scalar(self, name: str, value: float, step: int) -> None:
                told.append((name, step))

            def close(self) -> None:
                told.append("closed")

        package = types.ModuleType("tensorboardX")
        package.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "tensorboardX", package)
        run(epochs=1, tensorboard=tmp_path)
        assert told[0] == str(tmp_path) and told[-1] == "closed"
        assert told[1:6] == [("step/loss", k) for k in range(1, 6)] and ("accuracy", 5) in told

    def test_tensorboard_that_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorboardX", None)
        with pytest.raises(ImportError, match=r"pip install 'tlean\[tensorboard\]'"):
            run(tensorboard=tmp_path)

    def test_events_are_closed_after_an_error(self) -> None:
        ended: list[bool] = []

        class Watch:
            def on_step(self, run: Any) -> None:
                raise RuntimeError("a callback's own")

            def on_end(self, run: Any) -> None:
                ended.append(True)

        with pytest.raises(RuntimeError, match="a callback's own"):
            run(callbacks=[Watch()])
        assert ended == [True]


class TestMistakes:
    def test_a_loss_that_explodes(self) -> None:
        x = np.full((8, 4), 1e30, np.float32)
        with pytest.raises(NumericsError, match=r"loss became (inf|nan) at step 1 \(epoch 1\): try a smaller"):
            tl.fit(nn.Linear(4, 4).init(0), (x, x), "mse_loss", verbose=False)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"epochs": 0}, "at least 1"),
            ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
            ({"checkpoint_every": 0}, "checkpoint_every must be at least 1, got 0"),
            ({"patience": 2}, "val_loss needs validation data"),
            ({"patience": 2, "monitor": "los"}, "monitor must be an entry of epoch, step, loss, accuracy, lr, seconds, got 'los'"),
            ({"resume": True}, "resume needs a checkpoint"),
            ({"checkpoint_every": 3}, "checkpoint_every needs a checkpoint"),
            ({"mode": "up"}, "mode must be 'min' or 'max', got 'up'"),
            ({"mode": np.ones(2)}, "mode must be 'min' or 'max', got array"),
        ],
    )
    def test_options(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(OptionError, match=said):
            run(**options)

    def test_no_batch(self) -> None:
        with pytest.raises(OptionError, match="no batch"):
            tl.fit(net(), tl.data.DataLoader(DATA, 100, drop_last=True), "cross_entropy")


def test_meter() -> None:
    meter = Meter()
    assert meter.means() == {}
    meter.add({"loss": 1.0, "accuracy": 0.5}, 2)
    meter.add({"loss": 4.0, "accuracy": 0.0}, 1)
    assert meter.means() == {"loss": 2.0, "accuracy": pytest.approx(1 / 3)} and meter.report() == "loss 2.0000  accuracy 0.3333"
