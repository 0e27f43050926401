"""Which package reaches the driver: the one that `TLEAN_CUDA_DRIVER` names, or PyCUDA where it is installed, or cuda-bindings."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

from tlean.errors import DeviceError

from .seam import Driver
from .with_bindings import Bindings
from .with_pycuda import PyCuda

VARIABLE = "TLEAN_CUDA_DRIVER"
#: The values of the variable, in the order in which they are looked for: (module, its name in messages, the extra that installs it).
PACKAGES = {"pycuda": ("pycuda", "PyCUDA", "tlean[cuda]"), "cuda-bindings": ("cuda.bindings", "cuda-bindings", "tlean[cuda-wheels]")}
_MAKERS: dict[str, Callable[[], Driver]] = {"pycuda": PyCuda, "cuda-bindings": Bindings}


def installed(name: str) -> bool:
    """Whether one of `PACKAGES` is here."""
    try:
        return importlib.util.find_spec(PACKAGES[name][0]) is not None
    except (ImportError, ValueError):
        return False


def package() -> str:
    """The key of `PACKAGES` that is used. Raises: DeviceError where it is not installed, or none is."""
    asked = os.environ.get(VARIABLE, "").strip()
    if asked:
        if asked not in PACKAGES:
            raise DeviceError(f"CUDA: {VARIABLE} must be {' or '.join(map(repr, PACKAGES))}, not {asked!r}")
        if not installed(asked):
            _, title, extra = PACKAGES[asked]
            raise DeviceError(f"CUDA: {VARIABLE} says {title}, which is not installed; pip install '{extra}'")
        return asked
    for name in PACKAGES:
        if installed(name):
            return name
    raise DeviceError(
        "CUDA: neither PyCUDA nor cuda-bindings is installed; pip install 'tlean[cuda-wheels]' needs only NVIDIA's driver, "
        "pip install 'tlean[cuda]' builds PyCUDA and needs the CUDA toolkit too"
    )


def opened() -> Driver:
    """The package, initialised. Raises: DeviceError that says which of the package, the driver and a device is missing."""
    make = _MAKERS[package()]
    try:
        driver = make()
    except ImportError as error:
        raise DeviceError(f"CUDA: the NVIDIA driver's library cannot be loaded ({error}); install the NVIDIA driver") from None
    try:
        driver.init()
        count = driver.count()
    except driver.Error as error:
        raise DeviceError(f"CUDA: the driver finds no device ({error}); a CUDA device must be present and visible") from None
    if count == 0:
        raise DeviceError("CUDA: the driver finds no device; a CUDA device must be present and visible (see CUDA_VISIBLE_DEVICES)")
    return driver
