"""Files: tables read to the digit, damaged files refused by name, modes and targets of what is written."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.data.readers import read_idx, read_npy, read_npz, write_idx
from tlean.data.table import read_csv
from tlean.errors import DataError, DTypeError, OptionError

MARK = b"\xef\xbb\xbf"


def table(path: Path, content: str | bytes, **options: Any) -> list[Any]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(path, **options).tolist()


class TestTables:
    @pytest.mark.parametrize("options", [{}, {"header": False}, {"dtype": "int64"}])
    def test_a_byte_order_mark_is_no_data(self, tmp_path: Path, options: dict[str, Any]) -> None:
        assert table(tmp_path / "t.csv", MARK + b"1,2\n3,4\n", **options) == [[1, 2], [3, 4]]
        assert table(tmp_path / "t.csv", MARK + b"a,b\n3,4\n", **options | {"header": True}) == [[3, 4]]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
    def test_another_encoding_is_refused_by_name(self, tmp_path: Path, encoding: str) -> None:
        path = tmp_path / "t.csv"
        for text in ("é,ü\n1,2\n", "\ufeffé,2\n") if encoding != "latin-1" else ("1,2\né,ü\n",):
            with pytest.raises(DataError, match=r"t\.csv") as caught:
                table(path, text.encode(encoding))
            assert "UTF-8" in str(caught.value) or "\\x00" in str(caught.value)
        if encoding == "latin-1":
            assert "line 2" in str(caught.value)

    def test_integers_are_read_to_the_digit(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        assert table(path, "9007199254740993, -1\n+9223372036854775807,-9223372036854775808\n", dtype="int64") == [
            [9007199254740993, -1],
            [2**63 - 1, -(2**63)],
        ]
        assert table(path, "18446744073709551615,0\n", dtype="uint64") == [[2**64 - 1, 0]]
        assert table(path, "9007199254740993.0,1e3\n", dtype="int64") == [[9007199254740993, 1000]]
        assert table(path, "1,0\n", dtype="bool") == [[True, False]]

    @pytest.mark.parametrize(
        ("text", "dtype", "said"),
        [
            ("1.7,2\n", "int64", "line 1: not an integer: '1.7'"),
            ("1,2\nnan,2\n", "int64", "line 2: not an integer: 'nan'"),
            ("1,2\n3,1e400\n", "int32", "line 2: out of the range of int32: '1e400'"),
            ("300,1\n", "uint8", "line 1: out of the range of uint8: '300'"),
            ("-1,1\n", "uint8", "line 1: out of the range of uint8: '-1'"),
            ("9223372036854775808,1\n", "int64", "line 1: out of the range of int64"),
            ("9" * 5000 + ",1\n", "int64", "line 1: out of the range of int64"),
            ("2,1\n", "bool", "line 1: out of the range of bool"),
            ("1e39,1\n", "float32", "line 1: out of the range of float32: '1e39'"),
            ("1,2\n,3\n", "float32", "line 2: a field is empty"),
            ("1,2\n,3\n", "int64", "line 2: a field is empty"),
            ("1,2\n1_000,3\n", "float32", "line 2: not a number: '1_000'"),
            ("1,2\n1_000,3\n", "int64", "line 2: not a number: '1_000'"),
            ("1,,3\n4,5,6\n", "float32", "line 1: '' is not a number, but others are"),
            ("id,2019\n4,5\n", "float32", "line 1: 'id' is not a number, but others are: give header=True"),
            ('1,"a\nb"\n', "float32", "line 2: .* is not a number, but others are"),
        ],
    )
    def test_what_is_no_number_of_the_dtype(self, tmp_path: Path, text: str, dtype: str, said: str) -> None:
        with pytest.raises(DataError, match=rf"t\.csv, {said}"):
            table(tmp_path / "t.csv", text, dtype=dtype)

    def test_the_largest_numbers_are_in_range(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        assert table(path, f"{np.finfo('f4').max},-inf\n") == [[float(np.finfo("f4").max), -np.inf]]
        assert table(path, "id,2019\n1,2\n", header=True) == [[1, 2]]
        assert table(path, "\n\na,b\n1,2\n") == [[1, 2]]

    def test_options(self, tmp_path: Path) -> None:
        for delimiter in ("", ",,", "\n", '"', 3, None, "1"):
            with pytest.raises(OptionError, match="delimiter must be one character"):
                table(tmp_path / "t.csv", "1,2\n", delimiter=delimiter)
        for dtype in ("complex64", "str", "nonsense", None, 3, "M8[s]"):
            with pytest.raises(DTypeError, match="dtype must be that of floats"):
                table(tmp_path / "t.csv", "1,2\n", dtype=dtype)


def npy(header: str, elements: bytes = b"") -> bytes:
    data = header.encode()
    data += b" " * (117 - len(data)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data + elements


FORGED = [
    "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4!, }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551616,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4611686018427387904), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': " + str((1,) * 40) + "}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': [], 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (7,), }",
    "(" * 100,
]


class TestDamagedFiles:
    @pytest.mark.parametrize("header", FORGED)
    def test_forged_npy(self, tmp_path: Path, header: str) -> None:
        data = npy(header, bytes(64))
        (tmp_path / "a.npy").write_bytes(data)
        for mmap in (False, True):
            with pytest.raises(DataError, match=r"a\.npy: "):
                read_npy(tmp_path / "a.npy", mmap=mmap)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("x.npy", data)
        with pytest.raises(DataError, match=r"a\.npz, x: "):
            read_npz(tmp_path / "a.npz")

    def test_npy_of_every_order(self, tmp_path: Path) -> None:
        for array in (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.zeros((0, 3)), np.array(2.0)):
            np.save(tmp_path / "a.npy", array)
            for mmap in (False, True):
                found = read_npy(tmp_path / "a.npy", mmap=mmap)
                assert found.dtype == array.dtype and np.array_equal(found, array) and found.flags.f_contiguous == array.flags.f_contiguous
            assert read_npy(tmp_path / "a.npy").flags.writeable

    def test_idx_of_too_many_axes(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"x")
        with pytest.raises(DataError, match="announces 65 axes, an array has at most"):
            read_idx(tmp_path / "a")
        (tmp_path / "a").write_bytes(b"\0\0\x08\x03\0\0\0\0" + b"\xff" * 8)
        with pytest.raises(DataError, match="more than an array can hold"):
            read_idx(tmp_path / "a")

    def test_what_is_packed_has_a_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.gz"
        path.write_bytes(gzip.compress(b"\0\0\x08\x01\0\x10\0\0" + bytes(1 << 20)))
        assert path.stat().st_size < 2000 and len(read_idx(path)) == 1 << 20
        with pytest.raises(DataError, match=r"bomb\.gz: the gzip data unpacks to more than 1,000,000 bytes"):
            read_idx(path, max_bytes=1_000_000)
        np.savez_compressed(tmp_path / "b.npz", x=np.zeros(1 << 17), y=np.zeros(1 << 17))
        assert sorted(read_npz(tmp_path / "b.npz")) == ["x", "y"]
        with pytest.raises(DataError, match=r"b\.npz: it unpacks to more than 1,500,000 bytes"):
            read_npz(tmp_path / "b.npz", max_bytes=1_500_000)
        for wrong in (-1, "1", None, 2.0, True):
            with pytest.raises(OptionError, match="max_bytes must be an int"):
                read_npz(tmp_path / "b.npz", max_bytes=wrong)  # type: ignore[arg-type]

    @pytest.mark.parametrize("read", [read_csv, read_idx, read_npy, read_npz, tl.load])
    def test_paths_that_are_none(self, tmp_path: Path, read: Any) -> None:
        for path in (None, 3, "", "a\0b", "\udcff\ud800", b"\0", [], object()):
            with pytest.raises(OptionError, match="must be a path"):
                read(path)
        with pytest.raises(FileNotFoundError, match="no such file"):
            read(tmp_path / "absent")
        with pytest.raises(FileNotFoundError, match="but a folder"):
            read(tmp_path)
        if Path("/dev/null").exists():
            with pytest.raises(DataError, match="this is a device"):
                read("/dev/null")


class TestWriting:
    @pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
    @pytest.mark.parametrize("write", [lambda p: tl.save(p, x=np.ones(3)), lambda p: write_idx(p, np.ones(3, np.uint8))])
    def test_modes(self, tmp_path: Path, write: Any) -> None:
        path = tmp_path / "a"
        for umask, mode in ((0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0, 0o666)):
            before = os.umask(umask)
            try:
                write(path)
                assert stat.S_IMODE(path.stat().st_mode) == mode
                path.chmod(0o664)
                write(path)
                assert stat.S_IMODE(path.stat().st_mode) == 0o664
            finally:
                os.umask(before)
            path.unlink()
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("write", [lambda p: tl.save(p, x=1), lambda p: write_idx(p, np.ones(3, np.uint8))])
    def test_what_is_no_target(self, tmp_path: Path, write: Any) -> None:
        with pytest.raises(OptionError, match=r"is a regular file, or a new one; .* is a folder"):
            write(tmp_path)
        for path in (None, 3, "", "a\0b"):
            with pytest.raises(OptionError, match="must be a path"):
                write(path)
        with pytest.raises(FileNotFoundError, match="no such folder"):
            write(tmp_path / "no" / "a")
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "pipe")
            with pytest.raises(OptionError, match="is a pipe"):
                write(tmp_path / "pipe")
            # A separate terminal: one that all processes share would be gone if it were replaced.
            keeper, terminal = os.openpty()
            try:
                (tmp_path / "link").symlink_to(os.ttyname(terminal))
                with pytest.raises(OptionError, match="is a device"):
                    write(tmp_path / "link")
            finally:
                os.close(terminal)
                os.close(keeper)
            assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe"]

    def test_masks_are_not_lost_silently(self, tmp_path: Path) -> None:
        masked = np.ma.masked_array([1.0, 2.0], [True, False])
        with pytest.raises(OptionError, match="x is a masked array"):
            tl.save(tmp_path / "a", x=masked)
        with pytest.raises(DTypeError, match="masked array"):
            write_idx(tmp_path / "a", masked)


def foreign(path: Path, **arrays: tuple[str, list[int], bytes]) -> Path:
    """A file of safetensors as another library writes it."""
    header, data = {}, b""
    for name, (dtype, shape, elements) in arrays.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(elements)]}
        data += elements
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


class TestCheckpoints:
    @pytest.fixture(autouse=True)
    def _package(self) -> None:
        pytest.importorskip("safetensors", reason="checkpoints are safetensors files")

    def test_a_tensor_that_was_not_asked_for(self, tmp_path: Path) -> None:
        path = foreign(tmp_path / "a", w=("F32", [1], struct.pack("<f", 1.0)), q=("F8_E5M2", [2], b"88"))
        assert tl.load(path, names={"w": "w"})["w"].tolist() == [1.0]
        with pytest.raises(DataError, match="q is F8_E5M2, which NumPy does not have"):
            tl.load(path, names={"w": "w", "q": "q"})
        for wrong in (3, {"w": 3}, {3: "w"}, ["w"]):
            with pytest.raises(OptionError, match="names map our names"):
                tl.load(path, names=wrong)  # type: ignore[arg-type]

    def test_names_that_agree_need_no_map(self, tmp_path: Path) -> None:
        path = foreign(tmp_path / "a", weight=("F32", [1, 2], struct.pack("<2f", 1, 2)), bias=("F32", [1], struct.pack("<f", 3.0)))
        layer = nn.Linear(2, 1)
        assert sorted(tl.load(path, model=layer)) == ["bias", "weight"]
        assert np.asarray(layer.weight).tolist() == [[1, 2]] and np.asarray(layer.bias).tolist() == [3]
        with pytest.raises(DataError, match=r"no checkpoint of tl\.save; .*give names=.*missing: 0\.bias, 0\.weight"):
            tl.load(path, model=nn.Sequential(nn.Linear(2, 1)))
        with pytest.raises(tl.ShapeError, match="weight must have shape"):
            tl.load(path, model=nn.Linear(2, 2))
        for targets in ({}, {"a": layer, "b": layer}):
            with pytest.raises(DataError, match=r"no checkpoint of tl\.save"):
                tl.load(path, **targets)

    def test_states_go_to_pytorch_and_back(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch", reason="takes the states")
        mine = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).init(1)
        theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        theirs.load_state_dict({name: torch.from_numpy(value) for name, value in mine.state_dict().items()})
        x = np.ones((2, 3), np.float32)
        np.testing.assert_allclose(theirs(torch.from_numpy(x)).detach().numpy(), mine.predict(x).numpy(), rtol=1e-5)
        other = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).init(2)
        other.load_state_dict(theirs.state_dict())
        assert np.array_equal(other.predict(x).numpy(), mine.predict(x).numpy())

    @pytest.mark.parametrize(
        "state",
        [
            "",
            "null",
            "3",
            "[]",
            "{}",
            '{"format":1}',
            '{"format":1,"state":null}',
            '{"format":1,"state":[]}',
            '{"format":1,"state":{"$array":[]}}',
            '{"format":1,"state":{"model":{"$array":"no"}}}',
            '{"format":1,"state":{"model":{"$tuple":3}}}',
            '{"format":1,"state":{"model":{"$other":3}}}',
            '{"format":1,"state":' + '{"a":' * 5000 + "1" + "}" * 5000 + "}",
            '{"format":1,"state":' + "[" * 100_000,
            '{"format":1,"state":' + "9" * 5000 + "}",
            '{"format":1,"state":{"model":3}}',
            '{"format":1,"state":{"model":[1,2]}}',
            '{"format":1,"state":{"model":{"weight":"text","bias":null}}}',
        ],
    )
    def test_states_that_are_none(self, tmp_path: Path, state: str) -> None:
        from safetensors.numpy import save_file

        save_file({}, tmp_path / "c", metadata={"tlean": state})
        layer = nn.Linear(1, 1).init(0)
        before = layer.state_dict()
        with pytest.raises((DataError, OptionError, tl.ShapeError, DTypeError), match=r"c: "):
            tl.load(tmp_path / "c", model=layer)
        assert all(np.array_equal(before[k], v) for k, v in layer.state_dict().items())

    def test_what_cannot_be_saved(self, tmp_path: Path) -> None:
        endless: list[Any] = []
        endless.append(endless)
        for value, said in ((endless, "nested too deeply"), (10**5000, "digits"), (np.ones(2, np.longdouble), "array of")):
            with pytest.raises(OptionError, match=said):
                tl.save(tmp_path / "a", x=value)
        with pytest.raises(OptionError, match="by name, in a mapping"):
            tl.save(tmp_path / "a", [1, 2])  # type: ignore[arg-type]
        assert not list(tmp_path.iterdir())

    def test_a_name_that_the_format_uses_itself(self, tmp_path: Path) -> None:
        tl.save(tmp_path / "a", __metadata__=np.ones(2))
        assert tl.load(tmp_path / "a")["__metadata__"].tolist() == [1, 1]


def test_an_array_of_no_bytes_per_element(tmp_path: Path) -> None:
    whole = io.BytesIO()
    np.save(whole, np.empty(3, "V0") if np.dtype("V0").itemsize == 0 else np.empty(3))
    (tmp_path / "a.npy").write_bytes(whole.getvalue())
    assert read_npy(tmp_path / "a.npy").shape == (3,)
