"""Loaders: prefetch, transforms, states; augmentations; NPZ archives and memory-mapped arrays."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean.data import augment
from tlean.data.datasets import DataLoader
from tlean.data.readers import read_npy, read_npz
from tlean.errors import DataError, IndexRangeError, OptionError, ShapeError

IMAGES = np.arange(1, 1 + 10 * 2 * 5 * 6, dtype=np.float32).reshape(10, 2, 5, 6)
LABELS = np.arange(10)
SHIFTED = augment.Augment(augment.shift(2), augment.flip(), augment.normalise([1.0, 2.0], 3.0))


def listed(loader: Any) -> list[list[Any]]:
    return [[a.tolist() for a in batch] for batch in loader]


def threads() -> int:
    return sum(t.name == "tlean prefetch" for t in threading.enumerate())


class TestLoader:
    @pytest.mark.parametrize("prefetch", [1, 3, 100])
    @pytest.mark.parametrize("transform", [None, SHIFTED])
    def test_prefetch_changes_nothing(self, prefetch: int, transform: Any) -> None:
        plain = DataLoader((IMAGES, LABELS), 3, shuffle=True, seed=4, transform=transform)
        other = DataLoader((IMAGES, LABELS), 3, shuffle=True, seed=4, transform=transform, prefetch=prefetch)
        for _ in range(3):
            assert listed(plain) == listed(other)
        assert threads() == 0

    def test_a_reader_that_stops_ends_the_thread(self) -> None:
        batches = iter(DataLoader((LABELS,), 1, prefetch=2))
        assert next(batches)[0].tolist() == [0] and threads() == 1
        batches.close()  # type: ignore[attr-defined]
        assert threads() == 0

    def test_an_error_in_the_thread_reaches_the_reader_in_its_place(self) -> None:
        def fail(rng: Any, x: np.ndarray) -> np.ndarray:
            if 4 in x:
                raise ValueError("bad sample")
            return x

        found = []
        with pytest.raises(ValueError, match="bad sample"):
            for (x,) in DataLoader((LABELS,), 2, transform=fail, prefetch=3):
                found += x.tolist()
        assert found == [0, 1, 2, 3] and threads() == 0

    def test_transforms_depend_on_seed_epoch_and_batch_alone(self) -> None:
        loader = DataLoader((IMAGES, LABELS), 4, seed=1, transform=SHIFTED)
        first, second = listed(loader), listed(loader)
        assert first != second and first != listed(DataLoader((IMAGES, LABELS), 4, seed=2, transform=SHIFTED))
        assert [a.tolist() for a in loader.batch(1, 2)] == second[2]
        assert [b[1] for b in first] == [b[1] for b in second]
        with pytest.raises(IndexRangeError, match="from 0 to 2"):
            loader.batch(0, 3)

    @pytest.mark.parametrize("prefetch", [0, 2])
    @pytest.mark.parametrize("stop", range(9))
    def test_a_state_goes_on_where_it_was(self, stop: int, prefetch: int) -> None:
        def passes(loader: DataLoader) -> Any:
            while True:
                yield from loader

        whole = DataLoader((LABELS,), 3, shuffle=True, seed=5, prefetch=prefetch)
        batches = passes(whole)
        for _ in range(stop):
            next(batches)
        state = whole.state_dict()
        rest = [next(batches)[0].tolist() for _ in range(9)]
        batches.close()
        other = DataLoader((LABELS,), 3, shuffle=True, seed=0)
        other.load_state_dict(state)
        assert other.state_dict() == state
        batches = passes(other)
        assert [next(batches)[0].tolist() for _ in range(9)] == rest

    def test_mistakes(self) -> None:
        loader = DataLoader((LABELS,), 3)
        for state in ({}, {"seed": 0, "epoch": -1, "batch": 0}, {"seed": 0, "epoch": 0, "batch": 9}):
            with pytest.raises(OptionError, match="DataLoader: "):
                loader.load_state_dict(state)
        with pytest.raises(OptionError, match="prefetch of at least 0"):
            DataLoader((LABELS,), 3, prefetch=-1)


class TestAugment:
    def test_shift_moves_each_image_by_its_own_way(self) -> None:
        moved = augment.shift(2)(tl.Rng(0), IMAGES)
        ways = set()
        for before, after in zip(IMAGES, moved, strict=True):
            padded = np.pad(before, ((0, 0), (2, 2), (2, 2)))
            fits = [(y, x) for y in range(5) for x in range(5) if np.array_equal(padded[:, y : y + 5, x : x + 6], after)]
            assert len(fits) == 1
            ways |= set(fits)
        assert len(ways) > 4 and moved.flags.c_contiguous

    def test_all_ways_are_as_likely(self) -> None:
        one = np.zeros((5000, 1, 3, 3), np.float32)
        one[:, 0, 1, 1] = 1
        share = augment.shift(1)(tl.Rng(1), one).mean((0, 1))
        assert np.abs(share * 9 - 1).max() < 0.15

    def test_crop(self) -> None:
        found = augment.crop((2, 3))(tl.Rng(0), IMAGES)
        assert found.shape == (10, 2, 2, 3)
        assert all(f[0, 0, 0] in i[0] and f[0, 1, 2] == f[0, 0, 0] + 8 for f, i in zip(found, IMAGES, strict=True))
        assert np.array_equal(augment.crop((5, 6))(tl.Rng(0), IMAGES), IMAGES)
        with pytest.raises(ShapeError, match="6 x 6 is larger than the padded image 5 x 6"):
            augment.crop(6)(tl.Rng(0), IMAGES)

    def test_flip(self) -> None:
        assert np.array_equal(augment.flip(1.0)(tl.Rng(0), IMAGES), IMAGES[..., ::-1])
        assert np.array_equal(augment.flip(1.0, -2)(tl.Rng(0), IMAGES), IMAGES[..., ::-1, :])
        assert np.array_equal(augment.flip(0.0)(tl.Rng(0), IMAGES), IMAGES)
        turned = [not np.array_equal(a, b) for a, b in zip(augment.flip(0.5)(tl.Rng(0), IMAGES), IMAGES, strict=True)]
        assert 0 < sum(turned) < 10

    def test_normalise(self) -> None:
        found = augment.normalise([1.0, 2.0], [2.0, 4.0])(tl.Rng(0), IMAGES.astype(np.uint8))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[:, 1], (IMAGES.astype(np.uint8)[:, 1] - 2.0) / 4, rtol=1e-6)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: augment.shift(-1),
            lambda: augment.crop(0),
            lambda: augment.crop(3, -1),
            lambda: augment.flip(1.5),
            lambda: augment.flip(0.5, 0),
            lambda: augment.normalise(0.0, 0.0),
        ],
    )
    def test_options(self, make: Any) -> None:
        with pytest.raises(OptionError):
            make()

    @pytest.mark.parametrize("step", [augment.shift(1), augment.crop(2), augment.flip(), augment.normalise(0.0, 1.0)])
    def test_images_have_four_axes(self, step: Any) -> None:
        with pytest.raises(ShapeError, match=r"images must be \(N, C, H, W\), got \(10,\)"):
            step(tl.Rng(0), LABELS)


class TestReaders:
    def test_npz(self, tmp_path: Path) -> None:
        for write in (np.savez, np.savez_compressed):
            write(tmp_path / "a.npz", x=IMAGES, y=LABELS)
            found = read_npz(tmp_path / "a.npz")
            assert list(found) == ["x", "y"] and np.array_equal(found["x"], IMAGES) and found["y"].dtype == LABELS.dtype

    def test_npz_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        np.savez(path, x=IMAGES)
        whole = path.read_bytes()
        for data in (b"not an archive", b"", whole[:200], whole[:300] + b"????" + whole[304:]):
            path.write_bytes(data)
            with pytest.raises(DataError, match=r"a\.npz: not a readable"):
                read_npz(path)
        np.save(tmp_path / "one.npy", IMAGES)
        with pytest.raises(DataError, match=r"one\.npy: not a readable \.npz"):
            read_npz(tmp_path / "one.npy")
        np.savez(path, x=np.array([{}], dtype=object))
        with pytest.raises(DataError, match=r"a\.npz, x: not a readable .*pickled"):
            read_npz(path)

    def test_memory_mapped(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", IMAGES)
        found = read_npy(tmp_path / "a.npy", mmap=True)
        assert isinstance(found, np.memmap) and not found.flags.writeable
        data = tl.data.Dataset(found, LABELS)
        assert np.shares_memory(data.arrays[0], found)
        assert listed(DataLoader(data, 4, shuffle=True)) == listed(DataLoader((IMAGES, LABELS), 4, shuffle=True))


def test_an_interruption_while_the_thread_starts_leaves_no_thread(monkeypatch):
    """Ctrl-C may come anywhere: also before the iterator has begun to watch over its thread."""
    started = []

    class Interrupted(threading.Thread):
        def start(self):
            super().start()
            started.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(threading, "Thread", Interrupted)
    loader = tl.data.DataLoader((np.arange(100.0),), 5, prefetch=2)
    with pytest.raises(KeyboardInterrupt):
        next(iter(loader))
    monkeypatch.undo()
    assert started
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()
