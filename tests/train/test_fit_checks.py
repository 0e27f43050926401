"""`tl.fit`: what is found before the first step, what data it takes, how it talks to odd streams, and what is never lost."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.errors import DTypeError, OptionError, ShapeError, TleanError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 3)).astype(np.float32)
Y = (X.sum(1) > 0).astype(np.int64)
Z = X @ np.float32([[1], [2], [3]])


def mae(output: Any, target: Any) -> float:
    return float(np.abs(output - target).mean())


def begin(*, data: Any = (X, Y), loss: Any = "cross_entropy", model: Any = None, optimizer: Any = None, **options: Any) -> tuple[Any, Any]:
    """A run that must not take a step: the model stays as it was."""
    model = nn.Linear(3, 2).init(0) if model is None else model
    steps: list[int] = []
    callbacks = options.pop("callbacks", [])
    before = model.state_dict() if isinstance(model, nn.Module) else {}

    class Watch:
        def on_step(self, run: Any) -> None:
            steps.append(run.step)

    watched = [*callbacks, Watch()] if isinstance(callbacks, list) else callbacks
    try:
        history = tl.fit(model, data, loss, optimizer, **{"verbose": False, "batch_size": 4, "callbacks": watched, **options})
    except Exception:
        assert not steps
        assert all(np.array_equal(v, model.state_dict()[k]) for k, v in before.items())
        raise
    return history, model


class TestBeforeTheFirstStep:
    @pytest.mark.parametrize(
        ("options", "error", "said"),
        [
            ({"optimizer": 3}, OptionError, "optimizer must be one of tl.optim, or a function"),
            ({"optimizer": lambda ps: None}, OptionError, "it made a NoneType"),
            ({"optimizer": tl.optim.Adam([tl.Param([1.0])])}, OptionError, "the optimiser moves parameters of the model alone"),
            ({"schedule": 3}, OptionError, "schedule must be one of tl.optim"),
            ({"schedule": lambda o, n: None}, OptionError, "it made a NoneType"),
            ({"schedule": tl.optim.StepLR(0.1, 3)}, OptionError, "not over this optimizer"),
            ({"model": 3}, OptionError, "the model must be a tl.nn.Module"),
            ({"options": 3}, OptionError, "options must be a tl.Options"),
            ({"loss": 3}, OptionError, "the loss must be the name of an op"),
            ({"loss": "no_such"}, OptionError, "the loss must be the name of an op.*'no_such'"),
            ({"epochs": "3"}, OptionError, "epochs must be an int"),
            ({"epochs": 1.5}, OptionError, "epochs must be an int"),
            ({"epochs": None}, OptionError, "epochs must be an int, got None"),
            ({"accumulate": None}, OptionError, "accumulate must be an int, got None"),
            ({"batch_size": 0}, OptionError, "batch_size"),
            ({"inputs": 0}, OptionError, "inputs must be at least 1"),
            ({"inputs": 3}, OptionError, "takes 3 arrays of a batch, and a batch has 2"),
            ({"inputs": 2}, OptionError, "cross_entropy of the output and 0 targets"),
            ({"seed": "a"}, OptionError, "seed must be an int"),
            ({"clip_norm": "a"}, OptionError, "clip_norm must be a number"),
            ({"metrics": [mae]}, OptionError, "metrics must be functions by name"),
            ({"metrics": {"loss": mae}}, OptionError, "a metric needs a name other than"),
            ({"metrics": {"val_mae": mae}}, OptionError, "a metric needs a name other than"),
            ({"metrics": {"mae": 3}}, OptionError, "metric mae must be a function"),
            ({"callbacks": lambda run: None}, OptionError, "callbacks must be a list"),
            ({"callbacks": [3]}, OptionError, "a callback must be a function of the run"),
            ({"patience": 2, "monitor": "loss", "mode": "least"}, OptionError, "mode must be 'min' or 'max'"),
            ({"patience": 2, "monitor": "val_accuracy"}, OptionError, "val_accuracy needs validation"),
            ({"patience": 2, "monitor": "mae", "metrics": {"mae": mae}}, OptionError, "give mode='min' or mode='max'"),
            ({"patience": 2, "monitor": "accuracy", "metrics": {"accuracy": mae}}, OptionError, "give mode='min' or mode='max'"),
            ({"patience": 2, "monitor": 3}, OptionError, "monitor must be an entry of"),
            ({"validation": (X[:, :2], Y)}, ShapeError, "declared as .*got"),
            ({"validation": (X,)}, ShapeError, "2 inputs are declared, got 1"),
            ({"validation": (X[:0], Y[:0])}, OptionError, "no batch"),
            ({"data": (X[:0], Y[:0])}, OptionError, "no batch"),
            ({"data": (np.array(["a"] * 4), Y[:4])}, DTypeError, "holds numbers or Booleans"),
            ({"data": (np.ma.masked_array(X, X > 0), Y)}, DTypeError, "masked array"),
            ({"data": 3}, OptionError, "an iterable of batches, got a int"),
            ({"data": {"x": X}}, OptionError, "an iterable of batches, got a dict"),
            ({"data": [X, Y]}, OptionError, "give a tuple"),
            ({"data": [(X, Y), (X, Y)]}, OptionError, "may hold batches or samples"),
            ({"data": iter([])}, OptionError, "no batch"),
            ({"data": iter([(X, Y)]), "epochs": 2}, OptionError, "an iterator, which gives one epoch, not 2"),
            ({"data": iter([3])}, ShapeError, "the arrays of a batch must have one length"),
            ({"data": iter([{"x": X}])}, OptionError, "a batch must be a tuple of arrays"),
            ({"data": iter([(X, Y[:3])])}, ShapeError, "the arrays of a batch must have one length"),
            ({"data": ((x, y) for x, y in [(X, Y)]), "schedule": lambda o, n: None}, OptionError, "do not say how many batches"),
        ],
    )
    def test_options(self, options: dict[str, Any], error: type[Exception], said: str) -> None:
        with pytest.raises(error, match=said):
            begin(**options)

    @pytest.mark.parametrize(
        ("name", "path", "error"),
        [
            ("curves", "none/such/c.png", FileNotFoundError),
            ("curves", "c.xyz", OptionError),
            ("curves", ".", OptionError),
            ("checkpoint", "none/such/c.st", FileNotFoundError),
            ("checkpoint", ".", OptionError),
            ("checkpoint", 3, OptionError),
            ("checkpoint", "pipe", OptionError),
            ("log", "none/such/l.jsonl", FileNotFoundError),
            ("log", ".", OptionError),
            ("log", 3, OptionError),
            ("tensorboard", "file", OptionError),
        ],
    )
    def test_paths(self, name: str, path: Any, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("matplotlib", reason="tells the formats of pictures")
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").write_text("")
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(error):
            begin(**{name: path})
        assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "pipe"]

    @pytest.mark.parametrize(("name", "package"), [("curves", "matplotlib.figure"), ("checkpoint", "safetensors")])
    def test_packages(self, name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ImportError, match="pip install"):
            begin(**{name: tmp_path / "c.png"})

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
    def test_a_log_that_waits_for_a_reader(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OptionError, match=r"log is a file, and .* is a pipe"):
            begin(log=tmp_path / "pipe")


class TestData:
    def expected(self) -> list[float]:
        return begin(data=tl.data.DataLoader((X, Y), 4), epochs=2)[0].step_loss

    def test_any_iterable_of_batches(self) -> None:
        batches = [(X[k : k + 4], Y[k : k + 4]) for k in (0, 4, 8)]

        class Loader:
            def __iter__(self) -> Any:
                return iter(batches)

        for data in (tl.data.Batches(batches), Loader(), tl.data.Batches([list(b) for b in batches])):
            history, _ = begin(data=data, epochs=2)
            assert history.step_loss == self.expected() and [row["epoch"] for row in history.epochs] == [1, 2]
        history, _ = begin(data=(b for b in batches), validation=(b for b in batches))
        assert history.step_loss == self.expected()[:3] and "val_loss" in history.epochs[0]

    def test_a_loader_of_pytorch(self) -> None:
        torch = pytest.importorskip("torch", reason="makes the batches")
        data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
        loader = torch.utils.data.DataLoader(data, batch_size=4)
        history, _ = begin(data=loader, epochs=2, validation=loader, schedule=lambda opt, steps: tl.optim.LinearLR(opt, 1.0, 1.0, steps))
        assert history.step_loss == self.expected()

    def test_a_list_of_samples(self) -> None:
        samples = list(zip(X, Y, strict=True))
        assert begin(data=tl.data.DataLoader(samples, 4), epochs=2)[0].step_loss == self.expected()
        assert begin(data=samples)[0].step_loss == begin()[0].step_loss
        assert begin(data=tl.data.DataLoader(X, 4), loss=lambda ops, out: ops.mean(ops.square(out)))[0].ended == "done"

    @pytest.mark.parametrize("at", [1, 3, 4, 6])
    def test_iterables_are_resumed_bit_for_bit(self, at: int, tmp_path: Path) -> None:
        pytest.importorskip("safetensors", reason="checkpoints are safetensors files")
        batches = [(X[k : k + 4], Y[k : k + 4]) for k in (0, 4, 8)]

        def run(**options: Any) -> tuple[Any, Any]:
            return begin(data=tl.data.Batches(batches), epochs=3, **options)

        whole, model = run()
        first, _ = run(checkpoint=tmp_path / "c", callbacks=[types.SimpleNamespace(on_step=lambda r: r.step == at and r.stop("enough"))])
        assert len(first.step_loss) == at and first.ended == "enough"
        second, resumed = run(checkpoint=tmp_path / "c", resume=True)
        assert second.step_loss == whole.step_loss and second.ended == "done"
        assert all(np.array_equal(v, resumed.state_dict()[k]) for k, v in model.state_dict().items())

    def test_batches_that_are_none(self) -> None:
        for wrong in (3, "abc", {"a": 1}, None):
            with pytest.raises(OptionError, match="an iterable of batches"):
                tl.data.Batches(wrong)  # type: ignore[arg-type]
        for state in (3, {}, {"epoch": -1, "batch": 0}, {"epoch": "a", "batch": 0}):
            with pytest.raises(OptionError):
                tl.data.Batches([]).load_state_dict(state)  # type: ignore[arg-type]


class TestEarlyStopping:
    @pytest.mark.parametrize("backend", ["eager", "compiled"])
    def test_the_least_error_is_kept(self, backend: str) -> None:
        x = np.linspace(-1, 1, 64, dtype="f4")[:, None]
        y = 3 * x + 1
        model = nn.Linear(1, 1).init(0)
        kept: list[Any] = []
        history = tl.fit(
            model,
            (x, y),
            "mse_loss",
            tl.optim.Adam(model.parameters(), lr=0.05),
            epochs=40,
            patience=5,
            monitor="val_mae",
            mode="min",
            metrics={"mae": mae},
            validation=(x, y),
            verbose=False,
            callbacks=[lambda run: kept.append(run.model.state_dict())],
            options=tl.Options(backend=backend),
        )
        errors = history.column("val_mae")
        best = kept[errors.index(min(errors))]
        assert min(errors) < 0.5 * errors[0] and all(np.array_equal(v, model.state_dict()[k]) for k, v in best.items())

    def test_directions_that_are_known(self) -> None:
        for monitor in ("loss", "val_loss", "accuracy", "val_accuracy"):
            assert begin(patience=3, monitor=monitor, validation=(X, Y), epochs=2)[0].ended == "done"

    def test_nothing_is_worse_than_nan(self) -> None:
        values = iter([float("nan"), 1.0, 2.0, 3.0, 4.0])
        history, _ = begin(patience=2, monitor="m", mode="min", metrics={"m": lambda out, t: next(values)}, epochs=5, batch_size=10)
        assert history.ended == "no better m since epoch 2"


class TestOneCycle:
    def test_a_finished_run_is_loaded_again(self, tmp_path: Path) -> None:
        pytest.importorskip("safetensors", reason="checkpoints are safetensors files")
        for strategy in ("linear", "cos"):

            def run(strategy: str = strategy, **options: Any) -> Any:
                model = nn.Linear(3, 2).init(0)
                return tl.fit(
                    model,
                    (X, Y),
                    "cross_entropy",
                    tl.optim.Adam(model.parameters()),
                    epochs=2,
                    batch_size=5,
                    verbose=False,
                    checkpoint=tmp_path / strategy,
                    schedule=lambda o, n: tl.optim.OneCycleLR(o, max_lr=0.1, total_steps=n, anneal_strategy=strategy),
                    **options,
                )

            rates = run().column("lr")
            assert rates[-1] == pytest.approx(0.1 / 25 / 1e4) and min(rates) > 0
            assert run(resume=True).ended == "done"

    def test_schedules_refuse_what_is_no_rate(self) -> None:
        opt = tl.optim.SGD([tl.Param([1.0])], lr=1.0)
        schedule = tl.optim.ExponentialLR(opt, gamma=10.0)
        with pytest.raises(OptionError, match="the rate of step 309"):
            for _ in range(400):
                schedule.step()
        assert schedule.last_step == 308
        for name in ("div_factor", "final_div_factor"):
            with pytest.raises(OptionError, match=f"{name} must be above 0"):
                tl.optim.OneCycleLR(None, 0.1, 10, **{name: 0.0})
        with pytest.raises(OptionError, match="base_lrs of a state"):
            schedule.load_state_dict({"schedule": "ExponentialLR", "step": 1, "base_lrs": 3})


class Plain:
    def __init__(self) -> None:
        self.said: list[str] = []

    def write(self, text: str) -> None:
        self.said.append(text)


class TestStreams:
    @pytest.mark.parametrize("kind", ["none", "plain", "closed", "broken", "ascii"])
    def test_odd_standard_errors(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        stream: Any = {"none": lambda: None, "plain": Plain, "closed": io.StringIO, "broken": Broken}.get(kind, lambda: None)()
        if kind == "closed":
            stream.close()
        if kind == "ascii":
            stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stderr", stream)
        history, _ = begin(verbose=True, metrics={"µ→": lambda out, t: 1.0}, unit="×")
        assert history.ended == "done"
        if kind == "plain":
            assert "µ→ 1" in "".join(stream.said)
        if kind == "ascii":
            stream.flush()
            assert b"u-> 1" in stream.buffer.getvalue()

    def test_tables_of_a_profile_in_ascii(self) -> None:
        program = (
            "import numpy as np, tlean as tl\nwith tl.profile() as p:\n    s = tl.Session()\n    s.sum(s.input(np.ones(3)))\n"
            "print(p)\nassert 'µ' in p.table()"
        )
        environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(tl.__file__).parent.parent)}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        assert "mean us" in done.stdout and "->" in done.stdout


class Broken(Plain):
    def write(self, text: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")


class TestWhatIsNeverLost:
    def test_the_history_of_a_run_that_ends_with_an_error(self) -> None:
        def late(run: Any) -> None:
            if run.epoch == 2:
                raise RuntimeError("late")

        with pytest.raises(RuntimeError, match="late") as caught:
            tl.fit(nn.Linear(3, 2), (X, Y), "cross_entropy", epochs=3, verbose=False, callbacks=[late])
        assert len(caught.value.history.epochs) == 2  # type: ignore[attr-defined]
        with pytest.raises(OptionError, match="metric m returns a number") as caught_:
            tl.fit(nn.Linear(3, 2), (X, Y), "cross_entropy", verbose=False, metrics={"m": lambda out, t: "text"})
        assert caught_.value.history.ended == ""  # type: ignore[attr-defined]

    def test_curves_that_cannot_be_drawn(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("matplotlib", reason="the picture needs matplotlib")

        def full(*args: Any, **options: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            history, _ = begin(curves=tmp_path / "c.png")
        assert history.ended == "done" and any("curves were not drawn" in str(w.message) for w in found)
        with pytest.raises(RuntimeWarning, match="curves were not drawn") as caught:
            tl.fit(nn.Linear(3, 2), (X, Y), "cross_entropy", verbose=False, curves=tmp_path / "c.png")
        assert len(caught.value.history.epochs) == 1  # type: ignore[attr-defined]

    def test_logs_of_odd_values(self, tmp_path: Path) -> None:
        begin(log=tmp_path / "l", metrics={"m": lambda out, t: np.float32("inf")})
        assert json.loads((tmp_path / "l").read_text())["m"] is None


class TestDatasets:
    def test_one_array_and_lists_of_samples(self) -> None:
        rows = np.arange(30, dtype="f4").reshape(10, 3)
        assert [tuple(a.shape for a in b) for b in tl.data.DataLoader(rows, 4)] == [((4, 3),), ((4, 3),), ((2, 3),)]
        assert [tuple(a.shape for a in b) for b in tl.data.DataLoader(tl.AnyTensor(rows), 9)] == [((9, 3),), ((1, 3),)]
        pairs = [tuple(a.tolist() for a in b) for b in tl.data.DataLoader([(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)], 2)]
        assert pairs == [([1, 3], [2, 4]), ([5], [6])]
        assert [b[0].tolist() for b in tl.data.DataLoader([1, 2, 3], 2)] == [[1, 2], [3]]
        assert [b[0].tolist() for b in tl.data.DataLoader([[1, 2], [3, 4]], 1)] == [[[1, 2]], [[3, 4]]]

    @pytest.mark.parametrize(
        "data", [3, None, "abc", b"abc", {"a": X}, [X, Y], [{"x": 1}], ["a"], [(1, 2), 3], iter([(X, Y)]), object(), lambda: X, np.ndarray]
    )
    def test_what_is_no_data_set(self, data: Any) -> None:
        with pytest.raises(OptionError, match="DataLoader"):
            tl.data.DataLoader(data, 2)

    @pytest.mark.parametrize("data", [[(1, 2), (1,)], [(X[0], 1), (X[0, :2], 1)], [[1], [1, 2]], [([1], 2), ([[1], [1, 2]], 3)]])
    def test_samples_that_do_not_fit(self, data: Any) -> None:
        with pytest.raises(ShapeError):
            tl.data.DataLoader(data, 2)

    def test_numbers_that_would_change(self) -> None:
        with pytest.raises(DTypeError, match="masked array"):
            tl.data.Dataset(np.ma.masked_array([1.0, 2.0], [True, False]))
        with pytest.raises(DTypeError, match="9223372036854775808, and ops compute with int64"):
            tl.data.Dataset(np.array([1, 2**63], np.uint64))
        assert tl.data.Dataset(np.array([2**63 - 1], np.uint64))[0] == (2**63 - 1,)

    def test_positions(self) -> None:
        data = tl.data.Dataset(np.arange(5))
        assert data[[True, False, True, False, False]][0].tolist() == [0, 2] and data[[]][0].tolist() == [] and data[np.int8(-1)] == (4,)
        for wrong in ("a", None, 1.5, [0.5], True, (0, "a"), {}, slice("a"), object()):
            with pytest.raises(OptionError, match="a position must be an int"):
                data[wrong]
        for wrong in (5, -6, [9], 2**70):
            with pytest.raises(TleanError):
                data[wrong]

    def test_calls(self) -> None:
        data = tl.data.Dataset(np.ones(2))
        for call in (
            lambda: data.append((1,)),  # type: ignore[arg-type]
            lambda: data.append(None),  # type: ignore[arg-type]
            lambda: data.map(3),  # type: ignore[arg-type]
            lambda: data.split("a"),  # type: ignore[arg-type]
            lambda: data.split_at(0.5),  # type: ignore[arg-type]
            lambda: data.shuffle("a"),  # type: ignore[arg-type]
            lambda: tl.data.DataLoader(data, 1, seed="a"),  # type: ignore[arg-type]
            lambda: tl.data.DataLoader(data, 1, shuffle=np.ones(2)),  # type: ignore[arg-type]
            lambda: tl.data.DataLoader(data, 1, transform=3),  # type: ignore[arg-type]
            lambda: tl.data.DataLoader(data, 1).batch("a", 0),  # type: ignore[arg-type]
            lambda: tl.data.DataLoader(data, 1, shuffle=True).order("a"),  # type: ignore[arg-type]
            lambda: tl.data.DataLoader(data, 1).load_state_dict({"seed": "a", "epoch": 0, "batch": 0}),
        ):
            with pytest.raises(OptionError):
                call()
        assert [type(b) for b in tl.data.DataLoader(data, 1, transform=lambda rng, x: [x, x])] == [tuple, tuple]
        ragged = tl.data.DataLoader(data, 1, transform=lambda rng, x: ([[1], [1, 2]],))
        with pytest.raises(ShapeError):
            list(ragged)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_fork_goes_on_without_the_thread(self) -> None:
        loader = iter(tl.data.DataLoader((np.arange(100),), 4, prefetch=3))
        first = next(loader)[0].tolist()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            rest = [x.tolist() for (x,) in loader]
            os._exit(0 if rest == [list(range(k, k + 4)) for k in range(4, 100, 4)] else 1)
        assert os.waitpid(child, 0)[1] == 0 and first == [0, 1, 2, 3]
        assert sum(1 for _ in loader) == 24
