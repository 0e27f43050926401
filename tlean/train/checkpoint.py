"""`tl.save` and `tl.load`: whatever has a state, in one safetensors file that is whole or not there.

The arrays are in the file under their path in the state ("optimizer.state.0.exp_avg"), so any reader of safetensors finds them; numbers,
texts and the structure are in the header, as JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor
from tlean.devices import cuda
from tlean.errors import DataError, OptionError, TleanError
from tlean.files import readable, replacing
from tlean.param import Param

_KEY = "tlean"
_FORMAT = 1
# How an array and a tuple are written in the JSON: an object with this one key.
_ARRAY, _TUPLE = "$array", "$tuple"


def package() -> Any:
    """The package safetensors. Raises: ImportError, saying what to install, where it is not installed."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "tl.save and tl.load need the package safetensors: pip install 'tlean[checkpoint]', or pip install safetensors"
        ) from None
    return safetensors


# Writing -----------------------------------------------------------------------------------------------------------------


def _encode(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON; its arrays go to `arrays`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "__cuda_array_interface__"):
        value = cuda().to_device(value).numpy()
    if isinstance(value, AnyTensor | Param | np.ndarray | np.generic):
        if isinstance(value, np.ma.MaskedArray):
            raise OptionError(f"save: {path or 'the value'} is a masked array, whose mask would be lost; save value.data and value.mask")
        array = np.asarray(value, order="C")
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise OptionError(f"save: {path or 'the value'} is an array of {array.dtype}; numbers and Booleans can be saved")
        name = path or "value"
        # The format reserves "__metadata__".
        while name in arrays or name == "__metadata__":
            name += "_"
        arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
        return {_ARRAY: name}
    if hasattr(value, "state_dict"):
        return _encode(value.state_dict(), path, arrays)
    inside = f"{path}." if path else ""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise OptionError(f"save: keys must be texts that do not begin with $, got {key!r} in {path or 'the state'}")
        return {key: _encode(v, inside + key, arrays) for key, v in value.items()}
    if isinstance(value, list | tuple):
        items = [_encode(v, f"{inside}{k}", arrays) for k, v in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    raise OptionError(f"save: {path or 'the value'} is a {type(value).__name__}: no array, no plain value, and it has no state_dict()")


def save(path: str | os.PathLike[str], tree: Mapping[str, Any] | None = None, /, **parts: Any) -> None:
    """Write a checkpoint: complete under its name, or not at all, whenever the process ends.

        tl.save("run.safetensors", trainer=trainer, optimizer=opt, schedule=schedule, epoch=3)

    It is written beside its place (`.<name>.partial`), flushed to the disk, renamed, and the folder is flushed too: an earlier file of the
    same name stays until the new one is whole. One process at a time may write a path. A new file has the mode that `open` would give it,
    one that is replaced keeps its own.

    Args:
        path: usually ends in `.safetensors`; its folder exists.
        tree: parts by name, beside those given by keyword.
        parts: arrays, numbers, texts, None; lists, tuples and dicts of them; and anything that has a `state_dict()`.

    Raises: OptionError for something that cannot be saved, or a folder or a device as the target; OSError if the file cannot be
        written, ImportError without safetensors.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
        >>> tl.save(path, model=tl.nn.Linear(2, 1).init(0), epoch=3)
        >>> tl.load(path, model=tl.nn.Linear(2, 1))["epoch"]
        3
    """
    safetensors = package()
    if not isinstance(tree, Mapping | None):
        raise OptionError(f"save: the parts must be given by name, in a mapping or by keyword; got {type(tree).__name__}")
    both = parts.keys() & (tree or {}).keys()
    if both:
        raise OptionError(f"save: given twice: {', '.join(sorted(both))}")
    arrays: dict[str, np.ndarray] = {}
    try:
        state = _encode({**(tree or {}), **parts}, "", arrays)
        header = {_KEY: json.dumps({"format": _FORMAT, "state": state}, separators=(",", ":"))}
    except RecursionError:
        raise OptionError("save: the state is nested too deeply, or holds itself") from None
    except ValueError as error:
        # Of an int with more digits than a text may have. An error of ours is complete.
        raise error if isinstance(error, TleanError) else OptionError(f"save: {error}") from None
    with replacing("save: the target", path) as partial:
        try:
            safetensors.numpy.save_file(arrays, partial, metadata=header)
        except (safetensors.SafetensorError, UnicodeEncodeError) as error:
            raise OSError(f"{path}: not written: {error}") from None


# Reading -----------------------------------------------------------------------------------------------------------------


def read_arrays(path: Path, wanted: Iterable[str] | None = None) -> tuple[dict[str, str], list[str], dict[str, np.ndarray]]:
    """(header, names of all arrays, those that are wanted; None: all of them)."""
    safetensors = package()
    arrays = {}
    try:
        with safetensors.safe_open(path, framework="np") as file:
            header, names = file.metadata() or {}, list(file.keys())
            for name in names if wanted is None else [n for n in dict.fromkeys(wanted) if n in names]:
                arrays[name] = _array(path, file, name)
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{path}: damaged, or no safetensors file ({error})") from None
    return header, names, arrays


def _array(path: Path, file: Any, name: str) -> np.ndarray:
    try:
        array = file.get_tensor(name)
    except (TypeError, AttributeError, KeyError):
        kind = file.get_slice(name).get_dtype()
        if kind != "BF16":
            raise DataError(f"{path}: {name} is {kind}, which NumPy does not have; save it as F32, or leave it out with names=") from None
        array = _bfloat16(path, name)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _bfloat16(path: Path, name: str) -> np.ndarray:
    # NumPy has no bfloat16: its 16 bits are the upper half of a float32. The file begins with the header's length (8 bytes), the header.
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + length + begin)
        halves = np.frombuffer(file.read(end - begin), "<u2")
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(entry["shape"])


def _decode(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_decode(v, arrays) for v in value]
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if value.keys() == {_TUPLE} and isinstance(value[_TUPLE], list):
            return tuple(_decode(v, arrays) for v in value[_TUPLE])
        if any(k.startswith("$") for k in value):
            raise KeyError(next(iter(value)))
        return {k: _decode(v, arrays) for k, v in value.items()}
    return value


def _parts(path: Path, text: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the header of `tl.save` says, with its arrays. Raises: DataError where the two do not fit."""
    try:
        found = json.loads(text)
        if found["format"] != _FORMAT:
            raise DataError(f"{path}: a checkpoint of format {found['format']}, this version reads {_FORMAT}")
        parts = _decode(found["state"], arrays)
        if not isinstance(parts, dict):
            raise TypeError("the state is no mapping")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: the header does not fit the arrays ({type(error).__name__}: {error})") from None
    return parts


def load(path: str | os.PathLike[str], /, *, names: Mapping[str, str] | None = None, **targets: Any) -> dict[str, Any]:
    """Read a checkpoint of `tl.save`, or weights that another library saved as safetensors.

        tl.load("run.safetensors", trainer=trainer, optimizer=opt, schedule=schedule)["epoch"]
        tl.load("lenet_torch.safetensors", model=net)
        tl.load("lenet_torch.safetensors", model=net, names={"0.weight": "features.0.weight", "0.bias": "features.0.bias"})

    Everything is read and checked before anything is changed; if one target does not take its part, all are as they were.

    Args:
        path: of the file.
        names: for a file of another library: our name → the name in the file. At most one target, which gets these arrays; what is not
            named is not read. None with a file of another library: the names agree, and one target gets all arrays.
        targets: what goes on from the part of that name: anything with `load_state_dict` and `state_dict`.

    Returns: the parts by name, with NumPy arrays; from a file of another library, the arrays by our names.

    Raises: DataError for a file that is truncated or damaged, whose names do not agree (then give `names`), or that lacks a part or an
    array; what a target raises for a state that is not its own; FileNotFoundError; ImportError without safetensors.
    """
    package()
    path = readable("load: the file", path)
    if names is not None and not (isinstance(names, Mapping) and all(isinstance(n, str) for pair in names.items() for n in pair)):
        raise OptionError(f"load: names map our names to those in the file, got {names!r}")
    header, present, arrays = read_arrays(path, None if names is None else names.values())
    if names is None and _KEY in header:
        parts = _parts(path, header[_KEY], arrays)
        absent = [key for key in targets if key not in parts]
        if absent:
            raise DataError(f"{path}: it has no {', '.join(absent)}; it has {', '.join(parts) or 'nothing'}")
        _restore(path, {key: (target, parts[key]) for key, target in targets.items()})
        return parts
    if names is None:
        foreign = f"{path}: no checkpoint of tl.save; to read arrays of another library give names={{ours: theirs}}: {_listed(present)}"
        if len(targets) != 1:
            raise DataError(foreign)
        try:
            _restore(path, {key: (target, arrays) for key, target in targets.items()})
        except OptionError as error:
            raise DataError(f"{foreign} ({error})") from None
        return dict(arrays)
    absent = [theirs for theirs in names.values() if theirs not in arrays]
    if absent:
        raise DataError(f"{path}: it has no {', '.join(absent)}; it has {_listed(present)}")
    if len(targets) > 1:
        raise OptionError(f"load: with names there must be at most one target, got {', '.join(targets)}")
    found = {ours: arrays[theirs] for ours, theirs in names.items()}
    _restore(path, {key: (target, found) for key, target in targets.items()})
    return found


def _listed(names: Sequence[str], shown: int = 8) -> str:
    return ", ".join([*names[:shown], *(["..."] if len(names) > shown else [])]) or "no arrays"


def _restore(path: Path, pairs: Mapping[str, tuple[Any, Any]]) -> None:
    """Give every target its state; if one refuses, all get back what they had."""
    for key, (target, _) in pairs.items():
        if not hasattr(target, "load_state_dict") or not hasattr(target, "state_dict"):
            raise OptionError(f"load: {key} is a {type(target).__name__}, which has no load_state_dict()")
    before = [(target, target.state_dict()) for target, _ in pairs.values()]
    for key, (target, state) in pairs.items():
        try:
            target.load_state_dict(state)
        except Exception as error:
            for other, old in before:
                other.load_state_dict(old)
            # An error of ours keeps its class; anything else comes from a state of another form.
            kind = type(error) if isinstance(error, TleanError) else DataError
            raise kind(f"{path}: {key}: {error}") from error
