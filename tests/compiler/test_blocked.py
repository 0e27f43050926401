"""Channels in blocks: kernels and plans that keep them so give the bits of those that do not, and plans do it where it pays."""

from __future__ import annotations

import ctypes
import importlib
from math import prod

import numpy as np
import pytest
from kernel_calls import KERNEL, Call, usable_instruction_sets

import tlean as tl
from tlean.ops import get

ISAS = usable_instruction_sets("conv")
each = pytest.mark.parametrize("isa", ISAS)


WINDOW = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


# Kernels -----------------------------------------------------------------------------------------------------------------


def module(isa, name):
    return importlib.import_module(f"tlean._core.isa_{isa}.{name}")


def aligned(like):
    """An array of that shape at a multiple of 64 bytes, as those of a plan are."""
    memory = np.full(like.size + 16, np.nan, np.float32)
    first = -memory.ctypes.data % 64 // 4
    return memory[first : first + like.size].reshape(like.shape)


def in_blocks(isa, a):
    """(N, C, …) as (N, C / lanes, …, lanes), under the shape that it had."""
    lanes = module(isa, "conv").LANES
    made = aligned(a)
    made[...] = np.moveaxis(a.reshape(len(a), -1, lanes, a[0, 0].size), 2, 3).reshape(a.shape)
    return made


def from_blocks(isa, a):
    lanes = module(isa, "conv").LANES
    return np.moveaxis(a.reshape(len(a), -1, a[0, 0].size, lanes), 3, 2).reshape(a.shape)


def run_blocked(isa, op, places, which, *args, **options):
    """The op by its kernel for blocks: bit b of `which` says whether the array at place b is in blocks, the output being place 0."""
    call = Call(isa, "conv", op, "f32", args, **options)
    arrays = [call.outs[0], *call.args]
    chosen = [k for bit, k in enumerate(places) if which >> bit & 1]
    for k in chosen:
        arrays[k] = in_blocks(isa, arrays[k]) if k else aligned(arrays[k])
    pointers = [None if a is None else a.ctypes.data for a in arrays]
    call.out_pointers[0] = pointers[0]
    call.in_pointers = (ctypes.c_void_p * len(args))(*pointers[1:])
    call.ints = (ctypes.c_int64 * 23)(*call.ints, which)
    call.function = KERNEL(module(isa, "conv").KERNELS[f"{op}_blocked:f32"])
    assert call() == 0
    return from_blocks(isa, arrays[0]) if 0 in chosen else arrays[0]


# Batch, groups, channels of a group on the wide and the narrow side, size, padding.
GEOMETRIES = {
    "tiles that fit": (2, 1, 32, 32, (16, 12), (1, 1)),
    "tiles that do not": (3, 1, 32, 48, (13, 15), (1, 1)),
    "one tile in a row": (9, 1, 48, 32, (17, 3), (1, 1)),
    "two, hardly": (9, 1, 32, 64, (17, 5), (1, 1)),
    "no padding": (2, 1, 32, 32, (11, 14), (0, 0)),
    "padding of two": (2, 1, 16, 48, (9, 10), (2, 2)),
    "groups": (2, 3, 32, 48, (12, 14), (1, 1)),
    "many tiles in a row": (2, 1, 16, 32, (20, 28), (1, 1)),
    "many that do not fit": (2, 1, 32, 16, (15, 27), (0, 1)),
    "many, padding of two": (1, 2, 16, 32, (18, 31), (2, 2)),
    "cuts": (1, 1, 32, 16, (6, 703), (1, 1)),
    "weights passing by": (5, 1, 176, 160, (14, 13), (1, 1)),
}
OPS = {"conv": (0, 3), "conv_transpose": (0, 3), "_conv_grad_x": (0, 2), "_conv_grad_w": (1, 2)}


def arguments(op, w, b, c, x, g):
    """The op's own arguments and options."""
    return {
        "conv": ((w, b, x), {}),
        "conv_transpose": ((w, c, g), {"output_padding": (0, 0)}),
        "_conv_grad_x": ((w, g), {"in_shape": x.shape[2:]}),
        "_conv_grad_w": ((g, x), {"kernel": (3, 3)}),
    }[op]


@each
def test_the_kernels_take_as_many_integers_as_the_record_gives(isa):
    ints, _ = get("conv").kernel_params((tl.Spec((32, 32, 3, 3)), None, tl.Spec((2, 32, 14, 12))), WINDOW)
    assert module(isa, "conv").blocked_planes(ints, False) == (14 * 12, 12 * 10)
    for wrong in (ints[:-1], (*ints, 0)):
        with pytest.raises(IndexError, match="expected 22"):
            module(isa, "conv").blocked_planes(wrong, False)


@each
def test_sums_to_channels_have_images_channels_and_positions(isa):
    params = module(isa, "reduce").blocked_params
    for shape, axis, expected in (
        ((3, 32, 5, 7), (0, 2, 3), (3, 32, 35)),
        ((1, 32, 5, 7), (0, 2, 3), (1, 32, 35)),
        ((3, 31, 5, 7), (0, 2, 3), None),
        ((3, 32, 1 << 20), (0, 2), None),
        ((3, 32, 5, 7), (1,), None),
        ((3, 32), (0,), None),
    ):
        ints, _ = get("reduce_sum").kernel_params((tl.Spec(shape),), {"axis": axis, "keepdims": False})
        assert params(ints) == expected


@each
@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("op", OPS)
def test_kernels_have_the_bits_of_the_plain_ones(isa, op, geometry, finite):
    batch, groups, wide, narrow, size, padding = GEOMETRIES[geometry]
    rng = np.random.default_rng(0)
    out = tuple(n + 2 * p - 2 for n, p in zip(size, padding, strict=True))
    shapes = [(groups * narrow, wide, 3, 3), (groups * narrow,), (groups * wide,), (batch, groups * wide, *size)]
    w, b, c, x, g = (rng.normal(size=s).astype(np.float32) for s in (*shapes, (batch, groups * narrow, *out)))
    if not finite:
        x[0, 3, 2, 2], x[-1, -1, -1, -1], g[0, 1, 0, 0], g[-1, -2, -1, 1] = np.inf, np.nan, -np.inf, np.nan
    window = {"stride": (1, 1), "padding": padding, "dilation": (1, 1), "groups": groups}
    args, options = arguments(op, w, b, c, x, g)
    plain = Call(isa, "conv", op, "f32", args, **options, **window)
    assert module(isa, "conv").blocked_planes(plain.ints, op in ("conv_transpose", "_conv_grad_x")) == (prod(size), prod(out))
    assert plain() == 0
    for which in (1, 2, 3):
        got = run_blocked(isa, op, OPS[op], which, *args, **options, **window)
        np.testing.assert_array_equal(got.view(np.int32)[~np.isnan(got)], plain.outs[0].view(np.int32)[~np.isnan(got)])
        np.testing.assert_array_equal(np.isnan(got), np.isnan(plain.outs[0]))


@each
@pytest.mark.parametrize("images", [1, 2, 70])
@pytest.mark.parametrize("positions", [2, 5, 15, 16, 17, 64, 65, 100, 128, 196, 511, 512, 1033, 2048, 3136, 4100, 20000])
def test_sums_have_the_bits_of_the_plain_ones(isa, images, positions):
    if images * positions > 200_000:
        images = 3
    rng = np.random.default_rng(positions)
    x = rng.normal(size=(images, 32, positions)).astype(np.float32) * rng.choice([1e-3, 1, 1e3], (images, 32, positions)).astype(np.float32)
    x[0, :3], x[-1, 4, -1], x[-1, 5, 0] = -0.0, np.inf, np.nan
    plain = Call(isa, "reduce", "reduce_mean", "f32", (x,), axis=(0, 2))
    assert plain() == 0
    blocks, sums, pointer = in_blocks(isa, x), np.full(32, np.nan, np.float32), ctypes.c_void_p
    ints, floats = (ctypes.c_int64 * 3)(images, 32, positions), (ctypes.c_double * 1)(plain.floats[0])
    function = KERNEL(module(isa, "reduce").KERNELS["reduce_sum_blocked:f32"])
    assert function((pointer * 1)(sums.ctypes.data), (pointer * 1)(blocks.ctypes.data), ints, floats, 0) == 0
    keep = np.arange(32) != 5
    assert np.isnan(sums[5])
    np.testing.assert_array_equal(sums.view(np.int32)[keep], plain.outs[0].view(np.int32)[keep])


# Plans -------------------------------------------------------------------------------------------------------------------


def conv(ops, w, b, x, **options):
    return ops.conv2d(w, b, x, **({"padding": 1} | options))


def chain(apply):
    """conv → apply → conv."""
    return lambda ops, w, b, v, c, x: conv(ops, v, c, apply(ops, conv(ops, w, b, x)))


def no_bias(ops, w, b, v, c, x):
    return conv(ops, v, None, ops.relu(conv(ops, w, None, x)))


def residual(ops, w, b, v, c, x):
    h = ops.relu(conv(ops, w, b, x))
    return conv(ops, w, None, ops.relu(ops.add(h, conv(ops, v, c, h))))


def two_branches(ops, w, b, v, c, x):
    h = ops.gelu(conv(ops, w, b, x))
    return ops.add(conv(ops, v, c, h), ops.tanh(conv(ops, w, None, ops.exp(ops.neg(h)))))


def two_into_one(ops, w, b, v, c, x):
    return conv(ops, w, None, ops.mul(conv(ops, v, c, x), ops.sigmoid(conv(ops, w, b, x))))


def scaled(ops, w, b, v, c, x):
    h = conv(ops, w, b, x)
    return conv(ops, v, c, ops.mul(h, ops.broadcast_to(ops.mean(ops.square(x)), h.shape)))


def deep(ops, w, b, v, c, x):
    for k in range(4):
        x = ops.relu(conv(ops, (w, v)[k % 2], (b, c)[k % 2], x))
    return x


def transposed(ops, w, b, v, c, x):
    return ops.conv_transpose2d(v, c, ops.relu(conv(ops, w, b, x)), padding=1)


def flat(ops, w, b, v, c, x):
    h = conv(ops, w, b, x)
    return conv(ops, v, c, ops.reshape(ops.relu(ops.reshape(h, (h.size,))), h.shape))


def other_planes(ops, w, b, v, c, x):
    # The same memory read as planes of another size: nothing may be in blocks there.
    h = ops.relu(conv(ops, w, b, x))
    n, k, height, width = h.shape
    return conv(ops, v, c, ops.reshape(h, (n // 2, k, 2 * height, width)))


def pooled(ops, w, b, v, c, x):
    h = ops.relu(conv(ops, w, b, x))
    return ops.add(ops.max_pool2d(conv(ops, v, c, h), 2), ops.max_pool2d(h, 2))


def by_position(ops, w, b, v, c, x):
    # An operand that elements of one channel share is no elementwise chain's.
    h = conv(ops, w, b, x)
    return conv(ops, v, c, ops.mul(h, ops.broadcast_to(ops.reshape(c, (1, c.size, 1, 1)), h.shape)))


def normed(ops, w, b, v, c, x):
    return conv(ops, v, c, ops.relu(ops.batchnorm_channel_first(conv(ops, w, None, x), b, c)))


# Name: program, whether values are in blocks forward, and with the gradients.
PROGRAMS = {
    "relu": (chain(lambda ops, h: ops.relu(h)), True, True),
    "nothing between": (chain(lambda ops, h: h), True, True),
    "exp": (chain(lambda ops, h: ops.exp(ops.scale(h, 0.1))), True, True),
    "no bias": (no_bias, True, True),
    "residual": (residual, True, True),
    "two branches": (two_branches, True, True),
    "two into one": (two_into_one, True, True),
    "scaled": (scaled, True, False),
    "deep": (deep, True, True),
    "transposed": (transposed, True, True),
    "flat": (flat, True, True),
    "other planes": (other_planes, False, False),
    "pooled": (pooled, False, False),
    "by position": (by_position, False, False),
    "batch norm": (normed, False, False),
}
SIZES = {"even": (4, 32, 16, 12), "odd": (2, 48, 13, 15), "batch of one": (1, 64, 14, 14), "many channels": (2, 176, 14, 14)}


def arrays_of(n, channels, *size):
    rng = np.random.default_rng(0)
    shapes = [(channels, channels, 3, 3), (channels,), (channels, channels, 3, 3), (channels,), (n, channels, *size)]
    return [rng.normal(0, channels**-0.5 / 3 if s[2:] == (3, 3) else 1, s).astype(np.float32) for s in shapes]


def loss_of(program):
    return lambda ops, *xs: ops.sum(ops.square(program(ops, *xs)))


def same_bits(program, arrays):
    """The loss and its gradients, eager, and compiled at 1 and 2 threads; the compiled program."""
    s = tl.Session()
    refs = [s.input(a) for a in arrays]
    loss = loss_of(program)(s, *refs)
    grads = s.backward_scalar_dense_all(loss)
    want = [loss.value.numpy().tobytes(), *(grads[r].numpy().tobytes() for r in refs if r in grads)]
    compiled = tl.compile_scalar(loss_of(program), [a.shape for a in arrays])
    out = tl.compile_out(program, [a.shape for a in arrays])
    result = program(s, *refs).value.numpy().tobytes()
    before = tl.get_num_threads()
    try:
        for threads in (1, 2):
            tl.set_num_threads(threads)
            value, found = compiled.value_and_grad(*arrays)
            got = [value.numpy().tobytes(), *(g.numpy().tobytes() for r, g in zip(refs, found, strict=True) if r in grads)]
            assert got == want, threads
            assert out(*arrays).numpy().tobytes() == result
    finally:
        tl.set_num_threads(before)
    return out, compiled


def has_blocks(plan):
    assert (":blocked" in str(plan.program)) == any(s.blocked for s in plan.program.steps)
    return ":blocked" in str(plan.program)


# One image cannot be halved, as the program of other planes does.
CASES = [(name, size) for name in PROGRAMS for size in SIZES if name != "other planes" or SIZES[size][0] > 1]


@pytest.mark.parametrize(("name", "size"), CASES)
def test_plans_have_the_bits_of_eager(name, size):
    program, forward, backward = PROGRAMS[name]
    out, compiled = same_bits(program, arrays_of(*SIZES[size]))
    assert has_blocks(out.plan) == forward
    assert has_blocks(compiled._trace.executable("grad").plan) == backward


def test_what_a_plan_says():
    """Between two convolutions everything is in blocks, a value that another op needs is not."""
    shapes = [a.shape for a in arrays_of(4, 32, 16, 12)]
    compiled = tl.compile_out(PROGRAMS["relu"][0], shapes)
    assert str(compiled.plan.program) == (
        "%5:blocked, %6:blocked = conv2d + relu(%0, %1, %4, %5:blocked)\n%7 = conv_blocked(%2, %3, %6:blocked)"
    )
    both = tl.compile_out(lambda ops, w, b, v, c, x: (h := ops.relu(conv(ops, w, b, x)), conv(ops, v, c, h)), shapes)
    assert not has_blocks(both.plan)


def test_blocks_that_save_too_little_are_not_made():
    """One turn saved and a sum that costs as much, then two and a sum: too little is gained."""
    shapes = [a.shape for a in arrays_of(*SIZES["even"])]
    one = tl.compile_out(lambda ops, w, b, v, c, x: ops.reduce_sum(ops.exp(conv(ops, w, b, x)), (0, 2, 3)), shapes)
    assert not has_blocks(one.plan)

    def two(ops, w, b, v, c, x):
        y = ops.exp(conv(ops, w, b, x))
        return conv(ops, v, c, y), ops.reduce_sum(y, (0, 2, 3))

    assert has_blocks(tl.compile_out(lambda ops, *xs: two(ops, *xs)[0], shapes).plan)
    assert not has_blocks(tl.compile_out(two, shapes).plan)


@pytest.mark.parametrize("options", [{"groups": 2}, {"padding": 0}, {"padding": (2, 1)}])
def test_options(options):
    w, b, v, c, x = arrays_of(2, 64, 12, 13)
    groups = options.get("groups", 1)

    def program(ops, w, b, v, c, x):
        return conv(ops, v, c, ops.relu(conv(ops, w, b, x, **options)), **options)

    out, compiled = same_bits(program, [w[:, : 64 // groups], b, v[:, : 64 // groups], c, x])
    assert has_blocks(out.plan)
    assert has_blocks(compiled._trace.executable("grad").plan)


def test_without_a_batch():
    w, b, v, c, x = arrays_of(1, 64, 14, 14)
    out, compiled = same_bits(PROGRAMS["relu"][0], [w, b, v, c, x[0]])
    assert has_blocks(out.plan)
    assert has_blocks(compiled._trace.executable("grad").plan)


@pytest.mark.parametrize(("channels", "stride"), [(50, 1), (3, 1), (32, 2)])
def test_only_where_winograd_has_whole_vectors(channels, stride):
    program = chain(lambda ops, h: ops.relu(h))
    if stride == 2:

        def program(ops, w, b, v, c, x):
            return conv(ops, v, c, ops.relu(conv(ops, w, b, x, stride=2)), stride=2)

    out, compiled = same_bits(program, arrays_of(2, channels, 14, 14))
    assert not has_blocks(out.plan)
    assert not has_blocks(compiled._trace.executable("grad").plan)


def test_not_in_float64():
    arrays = arrays_of(4, 32, 16, 12)
    assert not has_blocks(tl.compile_out(PROGRAMS["relu"][0], [a.shape for a in arrays], "float64").plan)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite(bad):
    """Forward by the definition where Winograd would spread it; the weight gradient by the definition throughout."""
    arrays = arrays_of(4, 32, 16, 12)
    arrays[4][1, 3, 5, 5] = bad
    s = tl.Session()
    refs = [s.input(a) for a in arrays]
    loss = loss_of(PROGRAMS["relu"][0])(s, *refs)
    grads = s.backward_scalar_dense_all(loss)
    value, found = tl.compile_scalar(loss_of(PROGRAMS["relu"][0]), [a.shape for a in arrays]).value_and_grad(*arrays)
    np.testing.assert_array_equal(value.numpy(), loss.value.numpy())
    for r, g in zip(refs, found, strict=True):
        np.testing.assert_array_equal(g.numpy(), grads[r].numpy())


def test_memory_does_not_grow(monkeypatch):
    arrays = arrays_of(4, 32, 16, 12)
    compiled = tl.compile_scalar(loss_of(deep), [a.shape for a in arrays])
    compiled.value_and_grad(*arrays)
    monkeypatch.setattr("tlean.compiler.cpu.channel_blocks", lambda graph, steps, kept, target: list(steps))
    without = tl.compile_scalar(loss_of(deep), [a.shape for a in arrays])
    without.value_and_grad(*arrays)
    plans = compiled._trace.executable("grad").plan, without._trace.executable("grad").plan
    assert has_blocks(plans[0])
    assert not has_blocks(plans[1])
    assert plans[0].scratch_bytes == plans[1].scratch_bytes
    assert compiled.cost().flops == without.cost().flops


def test_profiles_and_training():
    """A trainer's step keeps its bits, and a profile names the ops."""
    w, b, v, c, x = arrays_of(4, 32, 16, 12)
    losses = {}
    for backend in ("eager", "compiled"):
        trainer = tl.ScalarTrainer(tl.Options(backend=backend), [w, b, v, c], [x.shape], loss_of(PROGRAMS["relu"][0]))
        losses[backend] = [trainer.step(1e-6, x).item() for _ in range(3)]
    assert losses["eager"] == losses["compiled"]
    compiled = tl.compile_out(PROGRAMS["relu"][0], [a.shape for a in (w, b, v, c, x)])
    compiled(w, b, v, c, x)
    with tl.profile() as profile:
        compiled(w, b, v, c, x)
    assert "conv2d + relu" in str(profile)
