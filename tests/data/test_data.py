"""Readers, data sets and loaders: what they give, and what they say of a file that is not what it should be."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from tlean.data import mnist
from tlean.data.datasets import DataLoader, Dataset
from tlean.data.readers import read_idx, read_npy, write_idx
from tlean.data.table import read_csv
from tlean.errors import DataError, IndexRangeError, OptionError, ShapeError
from tlean.rng import Rng, op_seed, philox, philox4x32, uniform

# The published known-answer vectors of Philox4x32-10 (Random123, kat_vectors): counter, key, words.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def write_digits(folder: Path, train: int = 40, test: int = 20, ending: str = ".gz", prefix: str = "train") -> None:
    rng = np.random.default_rng(0)
    for name, n in ((prefix, train), ("t10k", test)):
        write_idx(folder / f"{name}-images-idx3-ubyte{ending}", rng.integers(0, 256, (n, 28, 28)).astype(np.uint8))
        write_idx(folder / f"{name}-labels-idx1-ubyte{ending}", rng.integers(0, 10, n).astype(np.uint8))


class TestIdx:
    @pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
    @pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (0, 28, 28), (1, 1, 1, 1)])
    @pytest.mark.parametrize("ending", ["", ".gz"])
    def test_what_is_written_is_read(self, tmp_path: Path, dtype: str, shape: tuple[int, ...], ending: str) -> None:
        array = (np.arange(np.prod(shape)) - 3).reshape(shape).astype(dtype)
        write_idx(tmp_path / f"a{ending}", array)
        found = read_idx(tmp_path / f"a{ending}")
        assert found.dtype == array.dtype and found.shape == shape
        np.testing.assert_array_equal(found, array)

    def test_bytes_of_the_format(self, tmp_path: Path) -> None:
        path = tmp_path / "labels"
        path.write_bytes(bytes.fromhex("00000b02 00000002 00000003 0001 0002 0003 fffe ffff 0000"))
        found = read_idx(path, ndim=2)
        assert found.dtype == np.dtype("int16") and found.flags.writeable
        assert found.tolist() == [[1, 2, 3], [-2, -1, 0]]

    def test_gzip_is_told_by_content(self, tmp_path: Path) -> None:
        write_idx(tmp_path / "a.gz", np.arange(3, dtype=np.uint8))
        (tmp_path / "a.gz").rename(tmp_path / "a")
        assert read_idx(tmp_path / "a").tolist() == [0, 1, 2]

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "magic number of 4 bytes, this file holds 0: it is truncated"),
            (b"\0\0\x08", "truncated"),
            (b"PK\x03\x04....", "not an IDX file: the magic number is 0x504b0304"),
            (b"\0\0\x07\x01\0\0\0\1a", "not an IDX file: the magic number is 0x00000701"),
            (b"\0\0\x08\x03\0\0\0\1\0\0", "header of 3 axes takes 16 bytes, this file holds 10: it is truncated"),
            (b"\0\0\x08\x01\0\0\0\5abcd", r"header says \(5,\), 5 bytes of elements, this file holds 4: it is truncated"),
            (b"\0\0\x08\x01\0\0\0\5abcdef", "5 bytes of elements, this file holds 6: there is more"),
            (b"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffx", "truncated"),
        ],
    )
    def test_a_wrong_file_is_named(self, tmp_path: Path, data: bytes, said: str) -> None:
        path = tmp_path / "digits-ubyte"
        path.write_bytes(data)
        with pytest.raises(DataError, match=said) as caught:
            read_idx(path)
        assert str(path) in str(caught.value)

    def test_truncated_and_damaged_gzip(self, tmp_path: Path) -> None:
        whole = gzip.compress(b"\0\0\x08\x01\0\0\x10\0" + bytes(range(256)) * 16)
        path = tmp_path / "a.gz"
        path.write_bytes(whole[:-20])
        with pytest.raises(DataError, match=r"a\.gz: the gzip data is truncated"):
            read_idx(path)
        path.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])
        with pytest.raises(DataError, match=r"a\.gz: the gzip data is damaged"):
            read_idx(path)

    def test_axes_asked_for(self, tmp_path: Path) -> None:
        write_idx(tmp_path / "labels", np.zeros(3, np.uint8))
        with pytest.raises(DataError, match="announces 1 axes, expected 3"):
            read_idx(tmp_path / "labels", ndim=3)

    def test_a_dtype_that_the_format_lacks(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="got complex128"):
            write_idx(tmp_path / "a", np.zeros(3, complex))


class TestNpyAndCsv:
    def test_npy(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
        assert read_npy(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]

    def test_npy_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        path.write_bytes(b"not an array")
        with pytest.raises(DataError, match=r"a\.npy: not a readable"):
            read_npy(path)
        whole = io.BytesIO()
        np.save(whole, np.arange(100))
        path.write_bytes(whole.getvalue()[:-8])
        with pytest.raises(DataError, match=r"a\.npy: not a readable"):
            read_npy(path)
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match=r"a\.npy: not a readable"):
            read_npy(path)
        with path.open("wb") as file:
            np.savez(file, a=np.zeros(2))
        with pytest.raises(DataError, match="archive of several arrays"):
            read_npy(path)

    @pytest.mark.parametrize(
        ("text", "options", "rows"),
        [
            ("1,2\n3,4\n", {}, [[1, 2], [3, 4]]),
            ("a,b\n1,2\n\n3,4", {}, [[1, 2], [3, 4]]),
            ("0,1\n1,2\n", {"header": True}, [[1, 2]]),
            ("1;-2e1\n", {"delimiter": ";"}, [[1, -20]]),
            (" 1 , nan\n", {}, None),
        ],
    )
    def test_csv(self, tmp_path: Path, text: str, options: dict, rows: list | None) -> None:
        path = tmp_path / "t.csv"
        path.write_text(text)
        if rows is None:
            assert np.isnan(read_csv(path)).tolist() == [[False, True]]
        else:
            found = read_csv(path, **options)
            assert found.dtype == np.float32 and found.tolist() == rows

    @pytest.mark.parametrize(
        ("text", "said"), [("1,2\n3\n", "line 2: 1 columns"), ("1,2\n3,x\n", "line 2: .*'x'"), ("a,b\n", "no row"), ("", "no row")]
    )
    def test_a_wrong_csv_names_the_line(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "t.csv"
        path.write_text(text)
        with pytest.raises(DataError, match=said) as caught:
            read_csv(path)
        assert str(path) in str(caught.value)


class TestDataset:
    def test_sequence(self) -> None:
        data = Dataset(np.arange(10).reshape(5, 2), [0, 1, 2, 3, 4])
        assert len(data) == 5
        x, y = data[3]
        assert x.tolist() == [6, 7] and y == 3
        assert data[1:3][1].tolist() == [1, 2] and data[np.array([4, 0])][1].tolist() == [4, 0]
        assert len(list(data)) == 5

    def test_split_shares_nothing(self) -> None:
        a, b = Dataset(np.arange(50)).split(20, seed=4)
        assert len(a) == 20 and sorted([*a.arrays[0], *b.arrays[0]]) == list(range(50))
        assert a.arrays[0].tolist() == Dataset(np.arange(50)).split(20, seed=4)[0].arrays[0].tolist()

    @pytest.mark.parametrize("arrays", [(), (3.0,), ([1, 2], [1])])
    def test_arrays_that_do_not_fit(self, arrays: tuple) -> None:
        with pytest.raises(ShapeError, match="Dataset"):
            Dataset(*arrays)

    def test_out_of_range(self) -> None:
        with pytest.raises(IndexRangeError, match="position 5"):
            Dataset([1, 2])[5]
        with pytest.raises(IndexRangeError, match="3 samples to split off, there are 2"):
            Dataset([1, 2]).split(3)


class TestDataLoader:
    @pytest.mark.parametrize(
        ("n", "size", "drop", "lengths"),
        [(10, 4, False, [4, 4, 2]), (10, 4, True, [4, 4]), (3, 5, False, [3]), (3, 5, True, []), (0, 2, False, [])],
    )
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_batches(self, n: int, size: int, drop: bool, lengths: list[int], shuffle: bool) -> None:
        loader = DataLoader((np.arange(n), -np.arange(n)), size, shuffle=shuffle, drop_last=drop)
        batches = list(loader)
        assert [len(x) for x, _ in batches] == lengths and len(loader) == len(lengths)
        assert all((x == -y).all() for x, y in batches)
        seen = [int(v) for x, _ in batches for v in x]
        assert len(set(seen)) == len(seen) and (drop or set(seen) == set(range(n)))
        if not shuffle:
            assert seen == list(range(len(seen)))

    def test_the_seed_and_the_epoch_determine_the_order(self) -> None:
        def orders(seed: int) -> list[list[int]]:
            loader = DataLoader(Dataset(np.arange(100)), 100, shuffle=True, seed=seed)
            return [next(iter(loader))[0].tolist() for _ in range(3)]

        first = orders(7)
        assert first == orders(7) and first != orders(8) and first[0] != first[1]
        again = DataLoader(Dataset(np.arange(100)), 100, shuffle=True, seed=7)
        again.epoch = 2
        assert next(iter(again))[0].tolist() == first[2]

    @pytest.mark.parametrize("size", [0, -1, 2.5, "3"])
    def test_a_batch_size_that_is_none(self, size: object) -> None:
        with pytest.raises(OptionError, match="batch_size"):
            DataLoader(Dataset([1]), size)  # type: ignore[arg-type]


class TestRng:
    @pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
    def test_known_answers(self, counter: str, key: str, words: str) -> None:
        c, k, w = ([int(word, 16) for word in text.split()] for text in (counter, key, words))
        assert philox4x32(c, k).tolist() == w

    def test_blocks(self) -> None:
        # The counter is a pair of words here: every block of a range equals the block asked for alone, beyond 32 bits too.
        blocks = np.array([0, 1, 2**32, 2**40 + 5], np.uint64)
        assert philox(12345, blocks).tolist() == [philox(12345, int(b)).tolist() for b in blocks]

    def test_numbers_follow_the_words(self) -> None:
        words = philox(9, np.arange(2)).reshape(-1).astype(np.int64)
        assert uniform((5,), 9).tolist() == ((words[:5] >> 8) * 2.0**-24).tolist()
        expected = ((words[0::2] >> 5) * 2.0**26 + (words[1::2] >> 6)) * 2.0**-53
        assert uniform((3,), 9, "float64").tolist() == expected[:3].tolist()

    @pytest.mark.parametrize("seed", [0, 1, -1, 2**63, 0x0123456789ABCDEF])
    def test_the_seed_of_an_op(self, seed: int) -> None:
        for number in (0, 1, 2**32 + 3):
            words = philox(seed, number, stream=1)
            assert op_seed(seed, number) == int(words[0]) | int(words[1]) << 32

    def test_streams(self) -> None:
        rng = Rng(3)
        assert [rng.next_seed() for _ in range(3)] == [op_seed(3, n) for n in range(3)]
        a, b = Rng(3).split(), Rng(3)
        assert a.seed == op_seed(3, 0) and b.uniform((2, 3), -1, 1).shape == (2, 3) and b.count == 1
        values = Rng(0).uniform((10_000,), -2, 3)
        assert values.dtype == np.float32 and values.min() >= -2 and values.max() < 3 and abs(values.mean() - 0.5) < 0.05

    def test_permutation_is_fair(self) -> None:
        rng = Rng(1)
        assert rng.permutation(0).tolist() == [] and rng.permutation(1).tolist() == [0]
        first = np.array([rng.permutation(4) for _ in range(2000)])
        counts = np.array([[(first[:, place] == value).sum() for value in range(4)] for place in range(4)])
        assert np.abs(counts - 500).max() < 100

    def test_seeds_that_are_none(self) -> None:
        with pytest.raises(OptionError, match="a seed must be an int"):
            Rng("0")  # type: ignore[arg-type]


class TestMnist:
    @pytest.mark.parametrize("ending", ["", ".gz"])
    @pytest.mark.parametrize("place", [".", "mnist", "MNIST/raw"])
    @pytest.mark.parametrize("prefix", ["train", "train10k"])
    def test_a_folder(self, tmp_path: Path, ending: str, place: str, prefix: str) -> None:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        write_digits(tmp_path / place, ending=ending, prefix=prefix)
        found = mnist.load(tmp_path)
        assert len(found.train) == 40 and len(found.test) == 20
        images, labels = found.train.arrays
        assert images.shape == (40, 1, 28, 28) and images.dtype == np.float32 and images.min() >= 0 and images.max() <= 1
        assert labels.dtype == np.int64

    def test_the_order_of_places(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given, named, cache = (tmp_path / n for n in ("given", "named", "cache"))
        for k, folder in enumerate((given, named, cache / "tlean" / "mnist")):
            folder.mkdir(parents=True)
            write_digits(folder, train=30 + k)
        monkeypatch.setenv("TLEAN_DATA", str(named))
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        monkeypatch.setattr(mnist, "fetch", lambda *a: pytest.fail("no download when there are files"))
        assert len(mnist.load(given).train) == 30
        assert len(mnist.load().train) == 31
        monkeypatch.delenv("TLEAN_DATA")
        assert len(mnist.load().train) == 32

    def test_no_files_where_asked(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no MNIST files here; looked for train-images-idx3-ubyte, .*t10k-labels-idx1-ubyte"):
            mnist.load(tmp_path)

    def test_some_files_missing(self, tmp_path: Path) -> None:
        write_digits(tmp_path)
        (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
        with pytest.raises(FileNotFoundError, match="some MNIST files are here, but not t10k-labels-idx1-ubyte"):
            mnist.load(tmp_path)

    def test_counts_that_differ(self, tmp_path: Path) -> None:
        write_digits(tmp_path)
        write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(39, np.uint8))
        with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: 39 labels, but .*train-images-idx3-ubyte\.gz holds 40 images"):
            mnist.load(tmp_path)

    def test_labels_that_are_no_digits(self, tmp_path: Path) -> None:
        write_digits(tmp_path)
        write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.full(20, 10, np.uint8))
        with pytest.raises(DataError, match="label 10 at position 0, expected a digit"):
            mnist.load(tmp_path)

    def test_images_and_labels_interchanged(self, tmp_path: Path) -> None:
        write_digits(tmp_path)
        images, labels = tmp_path / "t10k-images-idx3-ubyte.gz", tmp_path / "t10k-labels-idx1-ubyte.gz"
        with pytest.raises(DataError, match="are the two files interchanged"):
            mnist.read_pair(labels, images)

    def test_elements_that_are_no_bytes(self, tmp_path: Path) -> None:
        write_idx(tmp_path / "i", np.zeros((2, 28, 28), np.float32))
        write_idx(tmp_path / "l", np.zeros(2, np.uint8))
        with pytest.raises(DataError, match="the elements are float32, expected bytes"):
            mnist.read_pair(tmp_path / "i", tmp_path / "l")

    def test_no_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreachable(url: str, timeout: float) -> None:
            raise OSError("no route")

        monkeypatch.delenv("TLEAN_DATA", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr("tlean.data.mnist.urlopen", unreachable)
        said: list[str] = []
        found = mnist.load(download=True, notice=said.append)
        assert len(found.train) + len(found.test) == 1797 and found.train.arrays[0].shape[1:] == (1, 28, 28)
        assert found.train.arrays[0].max() == 1
        assert "could not be downloaded" in said[0] and "scikit-learn" in said[1]
        assert not (tmp_path / "tlean").exists()

    def test_offline_asks_nobody(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setenv("TLEAN_DATA", str(tmp_path))
        monkeypatch.setenv("TLEAN_OFFLINE", "1")
        monkeypatch.setattr(mnist, "fetch", lambda *a: pytest.fail("asked the network"))
        said: list[str] = []
        mnist.load(notice=said.append)
        assert said[0].startswith("TLEAN_DATA: no MNIST files") and said[1].startswith("TLEAN_OFFLINE") and "scikit-learn" in said[2]
        # Digits that nothing here has are not announced.
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        with pytest.raises(FileNotFoundError, match=r"no MNIST files, and scikit-learn.* --data or \$TLEAN_DATA"):
            mnist.load(notice=said.append)
        assert said[3:] == said[:2]

    def test_download_takes_only_what_has_the_published_hash(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_digits(tmp_path)
        contents = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
        asked: list[str] = []

        def served(url: str, timeout: float) -> io.BytesIO:
            asked.append(url)
            data = contents[url.rsplit("/", 1)[1]]
            return io.BytesIO(b"<html>sign in</html>" if url.startswith(mnist.MIRRORS[0]) else data)

        monkeypatch.setattr("tlean.data.mnist.urlopen", served)
        monkeypatch.setattr(mnist, "SHA256", {n: hashlib.sha256(contents[n]).hexdigest() for n in mnist.SHA256})
        cache = tmp_path / "cache"
        mnist.fetch(cache, notice=lambda line: None)
        assert {p.name: p.read_bytes() for p in cache.iterdir()} == contents
        assert len(asked) == 8
        mnist.fetch(cache, notice=lambda line: None)
        assert len(asked) == 8
        monkeypatch.setattr(mnist, "SHA256", dict.fromkeys(mnist.SHA256, "0" * 64))
        with pytest.raises(OSError, match="expected 0000"):
            mnist.fetch(tmp_path / "other", notice=lambda line: None)
        assert not (tmp_path / "other").exists()
