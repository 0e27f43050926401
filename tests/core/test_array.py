"""`AnyTensor`: what it takes in, what it hands out, and whose memory is whose."""

from __future__ import annotations

import copy
import gc
import pickle

import numpy as np
import pytest

import tlean as tl

DTYPES = ("float32", "float64", "int64", "int32", "bool")


def test_repr_is_readable():
    assert repr(tl.AnyTensor([1.0, 2.5])) == "AnyTensor([1. , 2.5], shape=(2,), dtype=float64)"
    assert repr(tl.AnyTensor(3)) == "AnyTensor(3, shape=(), dtype=int64)"
    assert "..." in repr(tl.AnyTensor(np.zeros((50, 50)))) and len(repr(tl.AnyTensor(np.zeros((50, 50))))) < 600
    t = tl.AnyTensor([1.0])
    t.release()
    assert repr(t) == "AnyTensor(released, shape=(1,))"


@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trips(dtype):
    source = np.array([[1, 0, 3], [0, 5, 6]]).astype(dtype)
    t = tl.AnyTensor(source)
    assert (t.shape, t.dtype, t.device, t.size, t.ndim, len(t)) == ((2, 3), dtype, "cpu", 6, 2, 2)
    for back in (t.numpy(), np.asarray(t), np.asarray(memoryview(t)), np.from_dlpack(t), np.array(t)):
        assert back.dtype == source.dtype and np.array_equal(back, source)
    assert t.tolist() == source.tolist()
    for again in (copy.copy(t), copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert again.dtype == dtype and np.array_equal(again.numpy(), source)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1), (2, 3, 4)])
def test_shapes(shape):
    source = np.arange(float(np.prod(shape))).reshape(shape)
    t = tl.AnyTensor(source)
    assert t.shape == shape and t.size == source.size
    for back in (t.numpy(), np.from_dlpack(t)):
        assert back.shape == shape and np.array_equal(back, source)


def test_any_layout_is_taken_in():
    source = np.arange(24.0).reshape(2, 3, 4)
    for view in (source.T, source[:, ::-1], source[:, :, 1::2], np.asfortranarray(source), source.astype(">f8"), source.astype(np.float16)):
        assert np.array_equal(tl.AnyTensor(view).numpy(), view)
    assert tl.AnyTensor([[1, 2], [3, 4]]).dtype == "int64" and tl.AnyTensor((1.0, 2)).dtype == "float64"
    assert tl.AnyTensor(True).dtype == "bool" and tl.AnyTensor(np.uint8(7)).dtype == "int64"
    assert tl.AnyTensor([1, 2], "float32").dtype == "float32"


def test_what_is_not_taken():
    for bad in ([1j], ["a"], [object()], [None]):
        with pytest.raises(tl.DTypeError):
            tl.AnyTensor(bad)
    with pytest.raises(tl.DTypeError):
        tl.AnyTensor([1.5], "int64")
    with pytest.raises(tl.DTypeError):
        tl.AnyTensor([1.0], "float16x")
    with pytest.raises(tl.ShapeError):
        tl.AnyTensor([[1.0], [1.0, 2.0]])


def test_input_is_copied():
    source = np.ones(3)
    t = tl.AnyTensor(source)
    source[:] = 5
    assert t.tolist() == [1, 1, 1]


def test_views_are_read_only_and_share_memory():
    t = tl.AnyTensor([1.0, 2.0])
    a, b = t.numpy(), np.asarray(t)
    assert np.shares_memory(a, b) and not a.flags.writeable and not b.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 3
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        a.flags.writeable = True
    assert memoryview(t).readonly
    assert np.array(t, copy=True).flags.writeable and not np.shares_memory(np.array(t, copy=True), a)


def test_a_view_keeps_the_memory_alive():
    def views():
        t = tl.AnyTensor(np.arange(1000.0))
        return t.numpy(), memoryview(t), np.from_dlpack(t), t.numpy()[500:]

    first, second, third, part = views()
    gc.collect()
    others = [tl.AnyTensor(np.full(1000, -1.0)) for _ in range(20)]
    assert first.sum() == np.asarray(second).sum() == third.sum() == 499500 and part[0] == 500
    assert len(others) == 20


def test_a_view_outlives_release():
    t = tl.AnyTensor(np.arange(4.0))
    view, packed = t.numpy(), np.from_dlpack(t)
    t.release()
    t.release()
    noise = [tl.AnyTensor(np.full(4, 9.0)) for _ in range(10)]
    assert view.tolist() == packed.tolist() == [0, 1, 2, 3] and len(noise) == 10
    assert t.shape == (4,) and t.dtype == "float64"
    for use in (t.numpy, t.item, t.tolist, lambda: memoryview(t), lambda: t.__dlpack__(), lambda: t.cast((4,)), lambda: np.asarray(t)):
        with pytest.raises(tl.NodeError, match="released"):
            use()


def test_a_released_value_on_a_tape_stays_on_the_tape():
    tape, x = tl.Tape().leaf([1.0, 2.0])
    tape.get_value(x).release()
    assert tape.get_value(x).tolist() == [1, 2]
    t = tl.AnyTensor(np.ones(2, np.float32))
    tape, y = tape.leaf(t)
    t.release()
    assert tape.get_value(y).tolist() == [1, 1]
    with pytest.raises(tl.NodeError, match="released"):
        tape.leaf(t)


def test_dlpack_gives_a_copy_unless_it_is_declined():
    t = tl.AnyTensor(np.arange(6.0))
    copied = np.from_dlpack(t)
    assert np.array_equal(copied, t.numpy()) and not np.shares_memory(copied, t.numpy())
    same = np.from_dlpack(t, copy=False)
    assert np.shares_memory(same, t.numpy()) and not same.flags.writeable
    t.release()
    assert same.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_capsule_without_a_version_is_writable_memory():
    t = tl.AnyTensor(np.ones(3))
    with pytest.raises(BufferError, match="read-only"):
        t.__dlpack__(copy=False)
    assert "dltensor_versioned" in repr(t.__dlpack__(max_version=(1, 0))) and "dltensor_versioned" not in repr(t.__dlpack__())


def test_dlpack_capsules_may_be_dropped_unread():
    t = tl.AnyTensor(np.ones(8))
    for _ in range(100):
        t.__dlpack__()
        t.__dlpack__(max_version=(1, 0), copy=False)
    assert t.__dlpack_device__() == (1, 0)


class Exporter:
    """Speaks DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_exporters_are_taken_in():
    source = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(tl.AnyTensor(Exporter(source)).numpy(), source)
    tape, x = tl.Tape().leaf(Exporter(source.T))
    assert np.array_equal(tape.get_value(x).numpy(), source.T)


@pytest.mark.torch
def test_torch_reads_it():
    torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where it is installed")
    t = tl.AnyTensor(np.arange(6.0, dtype=np.float32).reshape(2, 3))
    assert torch.from_dlpack(t).tolist() == t.tolist()
    assert tl.AnyTensor(torch.arange(3.0)).tolist() == [0, 1, 2]


@pytest.mark.torch
def test_torch_cannot_write_to_it():
    """PyTorch ignores the read-only flag, so it gets a copy."""
    torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where it is installed")
    m = tl.TapeM()
    x = m.leaf([1.0, 2.0])
    loss = m.sum(m.square(x))
    torch.from_dlpack(m.value(x)).mul_(100)
    assert m.value(x).tolist() == [1.0, 2.0]
    assert m.backward_scalar(loss)[x.id].tolist() == [2.0, 4.0]


@pytest.mark.torch
def test_torch_tensors_of_every_kind():
    torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where it is installed")
    weight = torch.nn.Linear(2, 3).weight
    assert tl.AnyTensor(weight).tolist() == weight.tolist()
    half = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    assert (tl.AnyTensor(half).tolist(), tl.AnyTensor(half).dtype) == ([1.5, -2.0], "float32")
    with pytest.raises(tl.DTypeError, match="complex"):
        tl.AnyTensor(torch.ones(2, dtype=torch.complex64))


def test_item():
    assert tl.AnyTensor([[2.5]]).item() == 2.5 and type(tl.AnyTensor(np.float32(2.5)).item()) is float
    assert type(tl.AnyTensor(3).item()) is int and tl.AnyTensor(np.int32(3)).item() == 3 and tl.AnyTensor(True).item() is True
    assert float(tl.AnyTensor(2)) == 2.0 and int(tl.AnyTensor(2.0)) == 2 and bool(tl.AnyTensor(0.0)) is False
    assert [10, 20, 30][tl.AnyTensor(1)] == 20
    with pytest.raises(TypeError):
        [1, 2][tl.AnyTensor(1.0)]
    for bad in ([1.0, 2.0], []):
        with pytest.raises(tl.ShapeError):
            tl.AnyTensor(bad).item()


def test_cast_checks():
    t = tl.AnyTensor([1.0, 2.0])
    assert t.cast((2,)) is t and t.cast([2]) is t
    for shape in ((1, 2), (3,), ()):
        with pytest.raises(tl.ShapeError, match=r"\(2,\)"):
            t.cast(shape)


def test_add_accumulates():
    a, b = tl.AnyTensor([1.0, 2.0]), tl.AnyTensor([10.0, 20.0])
    assert a.add(b).tolist() == [11, 22] and a.tolist() == [1, 2] and b.tolist() == [10, 20]
    assert a.add(a).tolist() == [2, 4]
    with pytest.raises(tl.ShapeError, match=r"\(2,\).*\(1,\)"):
        a.add(tl.AnyTensor([1.0]))
    with pytest.raises(tl.DTypeError):
        a.add(tl.AnyTensor([1.0, 2.0], "float32"))
    with pytest.raises(TypeError):
        a.add([1.0, 2.0])
    with pytest.raises(TypeError):
        a.add(None)


def test_reads_like_an_array():
    t = tl.AnyTensor(np.arange(6.0).reshape(2, 3))
    assert t[1, 2] == 5 and t[0].tolist() == [0, 1, 2] and [row.sum() for row in t] == [3, 12]
    assert (t == tl.AnyTensor(np.arange(6.0).reshape(2, 3))).all() and (t == 0).sum() == 1
    assert np.add(t, 1).sum() == 21 and np.asarray(t, dtype=np.float32).dtype == np.float32
    with pytest.raises(TypeError):
        len(tl.AnyTensor(1.0))
    assert len({t, t}) == 1
