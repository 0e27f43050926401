"""Recurrent layers and cells: against PyTorch's, and what they promise without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn

KINDS = ("RNN", "GRU", "LSTM")


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def flat(y: Any) -> list[Any]:
    return [y] if hasattr(y, "shape") else [a for part in y for a in flat(part)]


# (layer's options, T, N, whether with first states, lengths)
CASES = [
    ({}, 4, 2, False, None),
    ({"layers": 3, "bidirectional": True, "bias": False}, 5, 2, True, None),
    ({"layers": 2, "batch_first": False}, 3, 4, True, None),
    ({"bidirectional": True}, 6, 3, True, (6, 2, 4)),
    ({"layers": 2, "bidirectional": True}, 5, 4, False, (1, 5, 3, 3)),
    ({"layers": 2, "dropout": 0.4}, 5, None, True, None),
]


@pytest.mark.torch
@pytest.mark.parametrize("kind", [*KINDS, "relu"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: " ".join(c[0]) or "plain")
def test_values_and_gradients_are_pytorch_s(kind: str, case: Any) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, where it is installed")
    options, length, batch, stated, lengths = case
    more, kind = ({"nonlinearity": "relu"}, "RNN") if kind == "relu" else ({}, kind)
    ours = getattr(nn, kind)(3, 4, **options, **more).to("float64").eval()
    theirs = {**options, **more}
    first = theirs.pop("batch_first", True)
    theirs = getattr(torch.nn, kind)(3, 4, theirs.pop("layers", 1), batch_first=first, dtype=torch.float64, **theirs).eval()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = numbers(*((length, 3) if batch is None else (batch, length, 3) if first else (length, batch, 3)))
    rows = options.get("layers", 1) * (1 + options.get("bidirectional", False))
    shape = (rows, 4) if batch is None else (rows, batch, 4)
    firsts = [numbers(*shape, seed=k + 1) for k in range(1 + (kind == "LSTM"))] if stated else []

    xt, *statest = (torch.from_numpy(a).requires_grad_() for a in (x, *firsts))
    state = None if not stated else tuple(statest) if kind == "LSTM" else statest[0]
    if lengths:
        packed = torch.nn.utils.rnn.pack_padded_sequence(xt, torch.tensor(lengths), batch_first=first, enforce_sorted=False)
        yt, endt = theirs(packed, state)
        yt = torch.nn.utils.rnn.pad_packed_sequence(yt, batch_first=first, total_length=length)[0]
    else:
        yt, endt = theirs(xt, state)
    outs = flat((yt, endt))
    weights = [np.cos(np.arange(y.numel())).reshape(tuple(y.shape)) for y in outs]
    sum((y * torch.from_numpy(w)).sum() for y, w in zip(outs, weights, strict=True)).backward()

    def loss(ops: Any, values: dict[str, Any], x: Any, firsts: list[Any]) -> Any:
        state = None if not firsts else tuple(firsts) if kind == "LSTM" else firsts[0]
        made = flat(ours(ours.bind(ops, values), x, state, lengths=lengths, states=True))
        return ops.sum(ops.stack([ops.sum(ops.mul(y, w)) for y, w in zip(made, weights, strict=True)])), made

    values = ours.state_dict()
    (_, made), (gw, gx, gs) = tl.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(values, x, firsts)
    for got, wanted in zip(made, outs, strict=True):
        np.testing.assert_allclose(np.asarray(got), wanted.detach().numpy(), rtol=1e-10, atol=1e-12)
    for got, wanted in zip((gx, *gs), (xt, *statest), strict=True):
        np.testing.assert_allclose(np.asarray(got), wanted.grad.numpy(), rtol=1e-10, atol=1e-12)
    for name, p in theirs.named_parameters():
        np.testing.assert_allclose(np.asarray(gw[name]), p.grad.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_pytorch_s(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, where it is installed")
    theirs = getattr(torch.nn, f"{kind}Cell")(3, 4, dtype=torch.float64)
    ours = getattr(nn, f"{kind}Cell")(3, 4).to("float64")
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x, h, c = numbers(2, 3), numbers(2, 4, seed=1), numbers(2, 4, seed=2)
    state = (h, c) if kind == "LSTM" else h
    as_tensors = tuple(map(torch.from_numpy, state)) if kind == "LSTM" else torch.from_numpy(h)
    s = tl.Session(dtype="float64")
    for given, wanted in (
        ((x, state), theirs(torch.from_numpy(x), as_tensors)),
        ((x,), theirs(torch.from_numpy(x))),
        ((x[0],), theirs(torch.from_numpy(x[0]))),
    ):
        got = ours(s, *tl.tree.map(s.const, given))
        for ours_, theirs_ in zip(flat(got), flat(wanted), strict=True):
            np.testing.assert_allclose(np.asarray(ours_), theirs_.detach().numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_is_a_step_of_the_layer(kind: str) -> None:
    layer, cell = getattr(nn, kind)(3, 4, bidirectional=True).init(1), getattr(nn, f"{kind}Cell")(3, 4)
    for name, p in cell.named_parameters().items():
        p.set(getattr(layer, f"{name}_l0_reverse").get())
    x, s = numbers(2, 5, 3), tl.Session()
    state = None
    for t in reversed(range(5)):
        state = cell(s, s.const(x[:, t]), *(() if state is None else (state,)))
    h = state[0] if kind == "LSTM" else state
    np.testing.assert_allclose(np.asarray(h), layer(s, s.const(x)).value.numpy()[:, 0, 4:], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_in_two_parts(kind: str) -> None:
    """The states of one part are the first states of the next, in every layer."""
    layer, s = getattr(nn, kind)(3, 4, layers=2).to("float64").init(0), tl.Session(dtype="float64")
    x = numbers(2, 7, 3)
    whole, end = layer(s, s.const(x), states=True)
    one, state = layer(s, s.const(x[:, :3]), states=True)
    two, state = layer(s, s.const(x[:, 3:]), state, states=True)
    np.testing.assert_allclose(np.concatenate([np.asarray(one), np.asarray(two)], axis=1), np.asarray(whole), rtol=1e-12)
    for a, b in zip(flat(state), flat(end), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_lengths(kind: str) -> None:
    """What lies behind a sequence's end counts for nothing, `last` is at its end, and a mask says the same."""
    layer = getattr(nn, kind)(3, 4, layers=2, bidirectional=True).init(0)
    last = getattr(nn, kind)(3, 4, last=True, layers=2, bidirectional=True).init(0)
    x, lengths = numbers(3, 6, 3).astype(np.float32), np.array([2, 6, 0])
    other = np.where((np.arange(6) < lengths[:, None])[..., None], x, np.float32(100))

    @tl.jit
    def program(ops: Any, x: Any, lengths: Any, mask: Any) -> Any:
        return layer(ops, x, lengths=lengths), last(ops, x, lengths=lengths), layer(ops, x, mask=mask)

    ys = [tuple(map(np.asarray, program(a, lengths, np.arange(6) < lengths[:, None]))) for a in (x, other)]
    for a, b in zip(*ys, strict=True):
        np.testing.assert_array_equal(a, b)
    whole, end, masked = ys[0]
    np.testing.assert_array_equal(whole, masked)
    assert not whole[0, 2:].any() and not whole[2].any() and not end[2].any()
    np.testing.assert_array_equal(end[0], np.concatenate([whole[0, 1, :4], whole[0, 0, 4:]]))
    s = tl.Session()
    alone = np.asarray(layer(s, s.const(x[0, :2])))
    np.testing.assert_allclose(alone, whole[0, :2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_eagerly_and_compiled_the_bits_are_the_same(kind: str) -> None:
    layer = getattr(nn, kind)(3, 5, layers=2, bidirectional=True).init(3)
    x, made = numbers(2, 4, 3).astype(np.float32), []
    for options in (tl.Options(), tl.Options(backend="compiled")):
        s = tl.Session(options)
        ref = s.input(x)
        y = layer(s, ref, lengths=np.array([4, 3]))
        grads = s.backward_dense_all(y, np.ones(y.shape))
        made.append([np.asarray(a) for a in (y, s.grad(grads, ref), *(s._by_param(grads)[p] for p in layer.parameters()))])
    for a, b in zip(*made, strict=True):
        assert a.tobytes() == b.tobytes()


def test_every_sample_s_own_gradient() -> None:
    """`vmap` over samples of a gradient through the loop, and a Hessian-vector product by forward over reverse."""
    layer = nn.GRU(2, 3).to("float64").init(0)
    x, values = numbers(3, 4, 2), layer.state_dict()

    def loss(ops: Any, values: Any, x: Any) -> Any:
        return ops.sum(ops.square(layer.apply(ops, values, x)))

    each = tl.vmap(tl.grad(loss), in_axes=(None, 0))(values, x)
    alone = [tl.grad(loss)(values, x[k]) for k in range(3)]
    for name in values:
        np.testing.assert_allclose(np.asarray(each[name]), np.stack([np.asarray(a[name]) for a in alone]), rtol=1e-12)
    v = {name: numbers(*a.shape, seed=5) for name, a in values.items()}
    _, found = tl.jvp(tl.grad(loss), (values, x[0]), (v, np.zeros_like(x[0])))
    step = 1e-6
    ahead, behind = ({name: a + sign * step * v[name] for name, a in values.items()} for sign in (1, -1))
    for name in values:
        slope = (np.asarray(tl.grad(loss)(ahead, x[0])[name]) - np.asarray(tl.grad(loss)(behind, x[0])[name])) / (2 * step)
        np.testing.assert_allclose(np.asarray(found[name]), slope, rtol=1e-5, atol=1e-7)


class Looped(nn.Module):
    """A cell in a loop, and transformations of a layer inside a layer."""

    def __init__(self, loop: bool) -> None:
        self.cell, self.last, self.loop = nn.GRUCell(3, 4), nn.Linear(4, 1), loop

    def forward(self, x: Any) -> Any:
        h = tl.zeros((2, 4))
        if not self.loop:
            for t in range(5):
                h = self.cell(x[t], h)
            return tl.sum(self.last(h))
        h, _ = tl.scan(lambda h, x: (self.cell(x, h), None), h, x)
        return tl.sum(tl.vmap(lambda row: self.last(row))(h))


def test_inside_a_loop_a_layer_has_the_values_that_it_has_around_it() -> None:
    x = numbers(5, 2, 3)
    made = []
    for loop in (False, True):
        model = Looped(loop).to("float64").init(0)
        values = {name: 1.5 * value for name, value in model.state_dict().items()}

        def loss(ops: Any, values: Any, x: Any, model: Any = model) -> Any:
            return model.apply(ops, values, x)

        s = tl.Session(dtype="float64")
        eager = loss(s, {name: s.input(value) for name, value in values.items()}, s.input(x))
        value, grads = tl.value_and_grad(loss)(values, x)
        np.testing.assert_allclose(np.asarray(eager), np.asarray(value), rtol=1e-12)
        made.append([np.asarray(value), *(np.asarray(grads[name]) for name in values)])
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, err_msg="the loop")


def test_dropout_is_between_layers_and_in_training_alone() -> None:
    layer, s, x = nn.LSTM(3, 4, layers=2, dropout=0.5).init(0), tl.Session(), numbers(2, 5, 3)
    one, two = (np.asarray(layer(s, s.const(x))) for _ in range(2))
    assert not np.array_equal(one, two)
    layer.eval()
    one, two = (np.asarray(layer(s, s.const(x))) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    # With one layer there is nothing between.
    layer = nn.LSTM(3, 4, dropout=0.5).init(0)
    np.testing.assert_array_equal(np.asarray(layer(s, s.const(x))), np.asarray(layer.eval()(s, s.const(x))))


def test_names_of_version_0_1() -> None:
    """Attributes without a number are those of the first layer; so are the names in a file."""
    layer = nn.GRU(2, 3)
    assert layer.weight_hh is layer.weight_hh_l0 and layer.bias_ih is layer.bias_ih_l0
    model = nn.Sequential(layer, nn.Linear(3, 1)).init(0)
    assert list(model.named_parameters())[:2] == ["0.weight_ih_l0", "0.weight_hh_l0"]
    old = {name.replace("_l0", ""): value + 1 for name, value in model.state_dict().items()}
    model.load_state_dict(old)
    np.testing.assert_array_equal(model.state_dict()["0.weight_hh_l0"], old["0.weight_hh"])
    shared = tl.Param(np.ones((9, 3)))
    layer.weight_hh = shared
    assert layer.weight_hh_l0 is shared
    wide = nn.LSTM(2, 3, layers=2, bidirectional=True).init(0, weight_hh=nn.init.constant(0.5), bias_hh=nn.init.zeros)
    assert all((a == 0.5).all() == ("weight_hh" in n) for n, a in wide.state_dict().items())
    with pytest.raises(tl.OptionError, match="there are bias_hh, bias_ih, weight_hh, weight_ih"):
        wide.init(0, weight=nn.init.zeros)


def test_shown() -> None:
    assert repr(nn.LSTM(2, 3, last=True, layers=2, dropout=0.1)) == "LSTM(2, 3, layers=2, last=True, dropout=0.1)"
    assert repr(nn.GRUCell(2, 3, bias=False)) == "GRUCell(2, 3, bias=False)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, x: nn.RNN(3, 4, nonlinearity="sin"), "nonlinearity must be 'tanh' or 'relu'"),
        (lambda s, x: nn.LSTM(3, 4, layers=0), "layers must be at least 1"),
        (lambda s, x: nn.GRU(2, 4)(s, x), r"x must be \(N, T, 2\), or \(T, 2\).*got x: \(2, 5, 3\)"),
        (lambda s, x: nn.LSTM(3, 4)(s, x, s.zeros((1, 2, 4))), "a state must be h and c, got 1 part"),
        (lambda s, x: nn.GRU(3, 4)(s, x, s.zeros((2, 4))), r"h must have shape \(1, 2, 4\), got \(2, 4\)"),
        (lambda s, x: nn.GRU(3, 4)(s, x, lengths=[1.0, 2.0]), r"integers of shape \(2,\), got \(2,\) of float64"),
        (lambda s, x: nn.GRU(3, 4)(s, x, mask=np.ones((5, 2), bool)), r"Boolean of shape \(2, 5\), got \(5, 2\)"),
        (lambda s, x: nn.GRU(3, 4)(s, x, lengths=[1, 2], mask=np.ones((2, 5), bool)), "say the same"),
        (lambda s, x: nn.LSTMCell(3, 4)(s, x), r"x must be \(N, 3\) or \(3,\)"),
        (lambda s, x: nn.RNNCell(3, 4)(s, s.zeros((2, 3)), s.zeros((3, 4))), r"h must have shape \(2, 4\), got \(3, 4\)"),
    ],
)
def test_mistakes(call: Any, message: str) -> None:
    s = tl.Session()
    with pytest.raises(tl.TleanError, match=message):
        call(s, s.const(numbers(2, 5, 3)))


def test_a_mask_of_an_array_with_the_steps_first():
    layer = nn.GRU(3, 4, batch_first=False).init(0)
    turned = nn.GRU(3, 4).init(0)
    x, mask = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("float32"), np.array([[True, False]] + [[True, True]] * 4)
    y = layer(tl.Session(), x, mask=mask).numpy()
    np.testing.assert_array_equal(y.swapaxes(0, 1), turned(tl.Session(), x.swapaxes(0, 1), mask=mask.T).numpy())
    for lengths in ([6, 1], [-1, 2]):
        with pytest.raises(tl.ShapeError, match=r"GRU: lengths must be in \[0, 5\], got"):
            layer(tl.Session(), x, lengths=lengths)
