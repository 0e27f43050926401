"""Handwritten digits: MNIST from a folder, from the cache or from the network; else the small digits that scikit-learn carries."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from tlean.errors import DataError

from .datasets import Dataset
from .readers import read_idx

#: Folders on the network that hold the four files; tried in this order.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

#: SHA-256 of the four gzipped files as their authors published them.
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}

# The names under which a split's files are looked for; the whole training set before its first 10,000 digits.
_PREFIXES = {"train": ("train", "train10k"), "test": ("t10k", "test")}
_KINDS = {"images": "idx3", "labels": "idx1"}
# Where in a folder they may lie: in it, or as other libraries arrange it.
_PLACES = (".", "mnist", "MNIST/raw")
_TIMEOUT = 20


@dataclass(frozen=True)
class Digits:
    """Digits to train on and digits to test on: images float32 `(n, 1, 28, 28)` in [0, 1], labels int64 `(n,)` from 0 to 9."""

    train: Dataset
    test: Dataset
    #: Where they come from, in words.
    source: str


def load(folder: str | os.PathLike[str] | None = None, download: bool | None = None, notice: Callable[[str], object] = print) -> Digits:
    """Find handwritten digits, in this order:

    1. `folder`, if one is given: then nowhere else is looked;
    2. the folder that the environment variable TLEAN_DATA names;
    3. the user's cache, `$XDG_CACHE_HOME/tlean/mnist` or `~/.cache/tlean/mnist`;
    4. the network: downloaded into the cache, each file's SHA-256 checked;
    5. the 8 × 8 digits that scikit-learn carries, enlarged to 28 × 28, a fifth of them held out as the test set.

    Args:
        folder: holds the four files under their usual names, `train-images-idx3-ubyte.gz` and so on, gzipped or plain.
        download: whether step 4 may happen; None: unless the environment variable TLEAN_OFFLINE is set.
        notice: called with a line of text for what the user should know, such as a fallback.

    Raises: FileNotFoundError if `folder` does not hold the files; DataError if a file is damaged, of another format, or if there are not
    as many labels as images.
    """
    if folder is not None:
        found = _find(Path(folder))
        if found is None:
            raise FileNotFoundError(
                f"{folder}: no MNIST files here; looked for {', '.join(n.removesuffix('.gz') for n in SHA256)} (or .gz)"
            )
        return _read(found)
    places: list[str | Path] = [p for p in (os.environ.get("TLEAN_DATA"), cache_folder()) if p]
    for place in places:
        found = _find(Path(place))
        if found is not None:
            return _read(found)
        if place != cache_folder():
            notice(f"TLEAN_DATA: no MNIST files in {place}; looking on")
    if download is None and os.environ.get("TLEAN_OFFLINE"):
        notice("TLEAN_OFFLINE is set: MNIST is not downloaded")
    elif download is not False:
        try:
            fetch(cache_folder(), notice)
            found = _find(cache_folder())
            if found is not None:
                return _read(found)
        except OSError as error:
            notice(f"MNIST could not be downloaded ({error})")
    digits = sklearn_digits()
    notice("Using the 1,797 small digits that scikit-learn carries (8 x 8, enlarged to 28 x 28). For MNIST give a folder with its files.")
    return digits


def cache_folder() -> Path:
    """Where downloaded digits are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tlean" / "mnist"


def _find(folder: Path) -> dict[tuple[str, str], Path] | None:
    """(split, kind) -> file; None if there are no images at all. Raises: FileNotFoundError if some files are there and others not."""
    for place in _PLACES:
        root = folder / place
        found: dict[tuple[str, str], Path] = {}
        wanted: list[str] = []
        for split, prefixes in _PREFIXES.items():
            prefix = next((p for p in prefixes if _file(root, p, "images")), prefixes[0])
            for kind in _KINDS:
                path = _file(root, prefix, kind)
                if path is None:
                    wanted.append(f"{prefix}-{kind}-{_KINDS[kind]}-ubyte")
                else:
                    found[split, kind] = path
        if found and wanted:
            raise FileNotFoundError(f"{root}: some MNIST files are here, but not {', '.join(wanted)} (or .gz)")
        if found:
            return found
    return None


def _file(root: Path, prefix: str, kind: str) -> Path | None:
    for separator in "-.":
        for ending in (".gz", ""):
            path = root / f"{prefix}-{kind}{separator}{_KINDS[kind]}-ubyte{ending}"
            if path.is_file():
                return path
    return None


def _read(files: dict[tuple[str, str], Path]) -> Digits:
    train, test = (read_pair(files[split, "images"], files[split, "labels"]) for split in _PREFIXES)
    return Digits(train, test, f"MNIST from {files['train', 'images'].parent} ({len(train):,} + {len(test):,} digits)")


def read_pair(images: str | os.PathLike[str], labels: str | os.PathLike[str]) -> Dataset:
    """A data set from two IDX files: images `(n, h, w)` of bytes, scaled to [0, 1] as float32 `(n, 1, h, w)`, and labels int64 `(n,)`.

    Raises: DataError if a file is damaged or of another format, the counts differ, or a label is not a digit.
    """
    pixels, digits = read_idx(images, ndim=3), read_idx(labels, ndim=1)
    for path, array in ((images, pixels), (labels, digits)):
        if array.dtype != np.uint8:
            raise DataError(f"{path}: the elements are {array.dtype}, expected bytes")
    if len(pixels) != len(digits):
        raise DataError(f"{labels}: {len(digits):,} labels, but {images} holds {len(pixels):,} images")
    if digits.size and digits.max() > 9:
        raise DataError(f"{labels}: label {digits.max()} at position {int(digits.argmax())}, expected a digit from 0 to 9")
    return Dataset(_scaled(pixels, 255), digits.astype(np.int64))


def _scaled(pixels: np.ndarray, top: float) -> np.ndarray:
    return np.ascontiguousarray(pixels[:, None], dtype=np.float32) / np.float32(top)


def fetch(folder: Path, notice: Callable[[str], object] = print) -> None:
    """Download the four files into a folder. A file appears there only when it is complete and its SHA-256 is the published one.

    Raises: OSError if a file could be had from no mirror; the message says what each of them answered.
    """
    for name, expected in SHA256.items():
        if (folder / name).exists():
            continue
        answers = []
        for mirror in MIRRORS:
            try:
                with urlopen(mirror + name, timeout=_TIMEOUT) as reply:
                    data = reply.read()
            except (OSError, HTTPException) as error:
                answers.append(f"{mirror}: {getattr(error, 'reason', error)}")
                continue
            found = hashlib.sha256(data).hexdigest()
            if found == expected:
                folder.mkdir(parents=True, exist_ok=True)
                partial = folder / f".{name}.{os.getpid()}"
                partial.write_bytes(data)
                partial.replace(folder / name)
                notice(f"downloaded {name} ({len(data):,} bytes) into {folder}")
                break
            answers.append(f"{mirror}: SHA-256 {found}, expected {expected}")
        else:
            raise OSError(f"{name}: {'; '.join(answers)}")


def sklearn_digits() -> Digits:
    """scikit-learn's 1,797 digits, each pixel of the 8 × 8 enlarged to 3 × 3 and a margin of 2 around; a fifth is the test set.

    Raises: FileNotFoundError if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise FileNotFoundError(
            "there are no MNIST files, and scikit-learn, which carries some digits, is not installed: give --data or $TLEAN_DATA a folder"
            " with the files, or pip install scikit-learn"
        ) from None
    bunch = load_digits()
    large = np.pad(bunch.images.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
    everything = Dataset(_scaled(large, 16), bunch.target.astype(np.int64))
    test, train = everything.split(len(everything) // 5)
    return Digits(train, test, f"scikit-learn's digits ({len(train):,} + {len(test):,})")
