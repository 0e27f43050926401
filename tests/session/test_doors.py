"""Doors: every array that enters a plan has the dtype and shape that it was made for. Inputs are cast, parameters and states never."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean._core.plan import plan as core
from tlean.errors import DTypeError, NodeError, NumericsError, OptionError, ShapeError

BACKENDS = ("eager", "compiled")
BOTH = [("float64", "float32"), ("float32", "float64")]
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool")


def dot(ops, w, x):
    return ops.sum(ops.mul(w, x))


def trainer(backend, param, dtype):
    return tl.ScalarTrainer(tl.Options(backend=backend, dtype=dtype), [param], [param.shape], dot)


class TestParameters:
    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize("of_param,of_program", BOTH)
    def test_one_of_another_float_dtype_is_refused(self, backend, of_param, of_program):
        p = tl.Param(np.ones(1024, of_param), "w")
        with pytest.raises(DTypeError, match=rf"(?s){of_program}.*parameter w.*{of_param}.*cast\('{of_program}'\)"):
            trainer(backend, p, of_program)

    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize("call", ["forward", "backward", "step"])
    @pytest.mark.parametrize("after,before", BOTH)
    def test_one_that_was_cast_between_steps_is_refused(self, backend, call, after, before):
        p = tl.Param(np.ones(1024, before), "w")
        t = trainer(backend, p, before)
        x = np.ones(1024)

        def go():
            return t.step(0.5, x) if call == "step" else getattr(t, call)(x)

        go()
        value = p.get().numpy().copy()
        p.cast(after)
        with pytest.raises(DTypeError, match=rf"(?s){before}.*w.*{after}.*cast\('{before}'\)"):
            go()
        assert (p.get().numpy() == value).all()
        p.cast(before)
        go()

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_fit_refuses_a_layer_of_another_dtype_by_name(self, backend):
        class Scale(nn.Module):
            def __init__(self):
                self.s = tl.Param(np.full(3, 2.0))

            def forward(self, ops, x):
                return ops.mul(x, ops.broadcast_to(self.s, x.shape))

        model = nn.Sequential(nn.Linear(3, 3), Scale(), nn.Linear(3, 1)).init(0)
        data = (np.ones((8, 3), "f4"), np.ones((8, 1), "f4"))
        with pytest.raises(DTypeError, match=r"float32.*parameter 1\.s.*float64.*cast\('float32'\)"):
            tl.fit(model, data, "mse_loss", verbose=False, options=tl.Options(backend=backend))

    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize("optimiser", ["Adam", "MomentumSGD", "AdaGrad", "Adadelta", "RMSProp"])
    def test_states_of_an_optimiser_are_not_cast(self, backend, optimiser):
        p = tl.Param(np.ones(1000, "f4"), "w")
        opt = getattr(tl.optim, optimiser)([p])
        opt.step([np.ones(1000)])
        p.cast("float64")
        value = p.get().numpy().copy()
        message = r"states of Param\(w.*float32.*float64.*cast\('float32'\)"
        with pytest.raises(DTypeError, match=message):
            opt.step([np.ones(1000)])
        with pytest.raises(DTypeError, match=message):
            trainer(backend, p, "float64").optim_step(opt, np.ones(1000))
        assert (p.get().numpy() == value).all()
        p.cast("float32")
        opt.step([np.ones(1000)])
        assert opt.state.steps[p] == 2

    def test_an_average_is_not_cast(self):
        p = tl.Param(np.ones(8, "f4"), "w")
        ema = tl.optim.ExponentialMovingAverage([p])
        ema.update()
        p.cast("float64")
        with pytest.raises(DTypeError, match=r"Param\(w.*float32.*float64.*cast"):
            ema.update()
        assert ema.count == 1

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_a_session_names_cast(self, backend):
        s = tl.Session(backend=backend)
        with pytest.raises(DTypeError, match=r"float32.*float64.*cast\('float32'\)"):
            s.use(tl.Param(np.ones(3)))

    def test_cast_takes_float_dtypes_alone(self):
        p = tl.Param(np.ones(3, "f4"))
        with pytest.raises(DTypeError, match="int32"):
            p.cast("int32")
        assert p.dtype == "float32"


class TestPrograms:
    @pytest.mark.parametrize("of_spec,of_program", BOTH)
    def test_a_spec_is_never_read_as_another_dtype(self, of_spec, of_program):
        """An argument has the dtype of its Spec, whatever the program's is, and inputs are cast to that."""
        for compile in (tl.compile_out, tl.compile_scalar):
            made = compile(lambda ops, a: ops.sum(a), [tl.Spec((8,), of_spec)], of_program)
            for given in ("float32", "float64"):
                assert made.forward(np.ones(8, given)).dtype == of_spec
        values = []
        for backend in BACKENDS:
            trainer = tl.ScalarTrainer(tl.Options(backend=backend, dtype=of_program), [np.ones(8)], [tl.Spec((8,), of_spec)], dot)
            (g,) = trainer.backward(np.arange(8))
            assert g.dtype == of_program and g.tolist() == list(range(8))
            values += [
                trainer.optim_step(tl.optim.SGD(trainer.params, 0.5), np.arange(8), check_finite=True),
                trainer.forward(np.arange(8)),
            ]
        assert {v.dtype for v in values} == {"float64"} and [v.item() for v in values] == [28.0, -42.0] * 2

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("given", ["float16", "float32", "float64", *INTEGERS])
    def test_inputs_are_cast_to_a_float_spec(self, dtype, given):
        x = np.array([1, 0, 1], given)
        c = tl.compile_out(lambda ops, a: ops.scale(a, 2.0), [(3,)], dtype)
        for value in (x, tl.AnyTensor(x) if given in ("float32", "float64", "int32", "int64", "bool") else x, x.tolist()):
            y = c.forward(value)
            assert y.dtype == dtype
            assert y.tolist() == [2.0, 0.0, 2.0]
        for backend in BACKENDS:
            t = tl.ScalarTrainer(tl.Options(backend=backend, dtype=dtype), [np.ones(3)], [(3,)], dot)
            assert t.forward(x).item() == 2.0

    @pytest.mark.parametrize("spec,taken", [("int64", INTEGERS[:-1]), ("int32", INTEGERS[:5]), ("bool", ("bool",))])
    def test_integers_widen_and_nothing_narrows(self, spec, taken):
        c = tl.compile_out(lambda ops, a: ops.identity(a) if hasattr(ops, "identity") else a, [tl.Spec((2,), spec)])
        for given in ("float32", "float64", "complex64", *INTEGERS):
            x = np.array([1, 0], given)
            if given in taken:
                y = c.forward(x)
                assert y.dtype == spec
                assert y.tolist() == [1, 0]
            else:
                with pytest.raises(DTypeError, match=spec):
                    c.forward(x)
        assert c.forward([True, False] if spec == "bool" else [1, 0]).tolist() == [1, 0]
        with pytest.raises(DTypeError):
            c.forward([0.5, 1.0])

    def test_values_that_do_not_fit(self):
        c = tl.compile_out(lambda ops, a: a, [tl.Spec((1,), "int32")])
        with pytest.raises(DTypeError, match="int32"):
            c.forward([1 << 40])


class TestPlans:
    """The last door, which all others lead to."""

    def setup_method(self):
        made = tl.compile_out(lambda ops, a, b: ops.add(ops.exp(a), b), [(3,), (3,)])
        made.forward(np.ones(3), np.ones(3))
        self.plan = made.plan
        self.specs = [((3,), "float32")]

    def run(self, *values):
        return core.run(self.plan, [None if v is None else tl.AnyTensor(v) for v in values], self.specs)

    def test_what_it_was_made_for(self):
        (y,) = self.run(np.zeros(3, "f4"), np.ones(3, "f4"))
        assert y.tolist() == [2.0, 2.0, 2.0]

    @pytest.mark.parametrize("dtype", ["float64", "int64", "int32", "bool"])
    def test_another_dtype(self, dtype):
        with pytest.raises(DTypeError, match=rf"input 1.*\(3,\) float32.*\(3,\) {dtype}"):
            self.run(np.zeros(3, "f4"), np.ones(3, dtype))

    @pytest.mark.parametrize("shape", [(), (2,), (4,), (3, 1), (1, 3)])
    def test_another_shape(self, shape):
        with pytest.raises(ShapeError, match=r"input 0.*\(3,\) float32"):
            self.run(np.zeros(shape, "f4"), np.ones(3, "f4"))

    def test_one_that_is_missing(self):
        with pytest.raises(NodeError, match="input 0"):
            self.run(None, np.ones(3, "f4"))


class TestNumbers:
    """A loss or gradients that are no numbers end a step before it updates."""

    @pytest.mark.parametrize("clip", [None, 1.0, float("inf")])
    @pytest.mark.parametrize("optimiser", ["SGD", "Adam"])
    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize("kind", ["loss", "gradient"])
    @pytest.mark.parametrize("accumulate", [1, 2])
    def test_fit_keeps_the_weights_from_before_the_step(self, kind, backend, optimiser, clip, accumulate):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(16, 2)).astype("f4"), np.ones((16, 1), "f4")
        if kind == "loss":
            x[12, 0] = np.nan

            def loss(ops, out, target):
                return ops.mse_loss(out, target)
        else:
            y[12:] = 0.0

            def loss(ops, out, target):
                return ops.mean(steep(ops, out, target))

        what = "the loss" if kind == "loss" else "a gradient" if clip is None else "(a gradient|the norm of the gradients)"
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm(2), nn.Linear(2, 1)).init(0)
        data = tl.data.DataLoader((x, y), 4)
        seen = []

        class Watch:
            def on_step(self, run):
                seen.append({k: v.copy() for k, v in model.state_dict().items()})

        seen.append({k: v.copy() for k, v in model.state_dict().items()})
        opt = getattr(tl.optim, optimiser)(model.parameters(), lr=0.01)
        options = tl.Options(backend=backend)
        with pytest.raises(NumericsError, match=rf"fit: {what} became .* at step \d \(epoch 1\)"):
            tl.fit(model, data, loss, opt, callbacks=[Watch()], clip_norm=clip, accumulate=accumulate, verbose=False, options=options)
        assert len(seen) == 1 + 3 // accumulate
        for name, value in model.state_dict().items():
            assert np.isfinite(value).all()
            assert value.tobytes() == seen[-1][name].tobytes(), name
        assert all(count == len(seen) - 1 for count in opt.state.steps.values())

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_a_trainer_does_not_look_unless_asked(self, backend):
        t = tl.ScalarTrainer(tl.Options(backend=backend), [np.ones(2)], [(2,)], dot)
        opt = tl.optim.SGD(t.params)
        x = np.array([1.0, np.inf])
        with pytest.raises(NumericsError, match=r"loss became inf; nothing was updated"):
            t.optim_step(opt, x, check_finite=True)
        assert t.get_params()[0].tolist() == [1.0, 1.0]
        assert t.optim_step(opt, x).item() == np.inf

    def test_what_is_found_first(self):
        from tlean._core.plan.update import first_not_finite
        from tlean._core.table import KERNELS

        for dtype, suffix in (("float32", "f32"), ("float64", "f64")):
            arrays = [np.ones(n, dtype) for n in (0, 1, 100_003, 5_000_000)]
            address = KERNELS[f"_finite:{suffix}"]
            assert first_not_finite(address, list(map(tl.AnyTensor, arrays))) is None
            arrays[3][4_999_999] = -np.inf
            assert first_not_finite(address, list(map(tl.AnyTensor, arrays))) == (3, -np.inf)
            arrays[2][70_000:] = [np.nan, *[np.inf] * 30_002]
            which, value = first_not_finite(address, list(map(tl.AnyTensor, arrays)))
            assert which == 2
            assert np.isnan(value)


def steep(ops, out, target):
    # Finite everywhere; where the target is 0 the derivative overflows.
    nothing = ops.scale(ops.scale(ops.sub(out, ops.detach(out)), 3e38), 3e38)
    return ops.add(ops.mul(target, ops.square(out)), ops.mul(ops.shift(ops.neg(target), 1.0), nothing))


class TestOptimisers:
    def test_fit_refuses_parameters_of_another_model(self):
        model, other = nn.Linear(2, 1).init(0), nn.Linear(2, 1).init(1)
        other.weight.name = "mine"
        data = (np.ones((8, 2), "f4"), np.ones((8, 1), "f4"))
        with pytest.raises(OptionError, match=r"optimiser.*mine.*weight.*model\.parameters\(\)"):
            tl.fit(model, data, "mse_loss", tl.optim.SGD(other.parameters()), verbose=False)
        with pytest.raises(OptionError, match=r"optimiser.*mine"):
            tl.fit(model, data, "mse_loss", tl.optim.SGD([*model.parameters(), other.weight]), verbose=False)

    def test_fit_may_train_a_part(self):
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).init(0)
        before = model.state_dict()
        data = (np.ones((8, 2), "f4"), np.ones((8, 1), "f4"))
        tl.fit(model, data, "mse_loss", tl.optim.SGD(model.parameters()[2:], lr=0.1), verbose=False)
        moved = [k for k, v in model.state_dict().items() if (v != before[k]).any()]
        assert moved == ["1.weight", "1.bias"]

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_a_trainer_warns_when_nothing_moves(self, backend):
        t = tl.ScalarTrainer(tl.Options(backend=backend), [np.ones(2)], [(2,)], dot)
        with pytest.warns(RuntimeWarning, match="none of the trainer's parameters"):
            t.optim_step(tl.optim.SGD([tl.Param(np.ones(2))]), np.ones(2))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_an_infinite_bound_measures_the_norm(self, dtype):
        grads = [np.array([3.0, 0.0], dtype), None, np.array(4.0, dtype)]
        made, norm = tl.optim.clip_by_norm(grads, float("inf"))
        assert norm == 5.0
        assert made[1] is None
        assert [made[0].tolist(), made[2].item()] == [[3.0, 0.0], 4.0]
        with pytest.raises(OptionError, match="max_norm"):
            tl.optim.clip_by_norm(grads, float("nan"))

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_an_infinite_bound_in_a_trainer(self, backend):
        found = []
        for clip in (None, float("inf")):
            t = tl.ScalarTrainer(tl.Options(backend=backend), [np.ones(2)], [(2,)], dot)
            t.optim_step(tl.optim.SGD(t.params, lr=0.1), np.array([1e3, 2e-3]), clip_norm=clip)
            found.append(t.get_params()[0].numpy().tobytes())
        assert found[0] == found[1]
