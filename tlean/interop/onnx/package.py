"""The package onnx, which is imported when it is first needed, and what both directions say of dtypes."""

from __future__ import annotations

from types import ModuleType

#: The numbers of ONNX's element types that arrays may have.
ELEMENTS = {"float32": 1, "int32": 6, "int64": 7, "bool": 9, "float64": 11}
DTYPES = {number: name for name, number in ELEMENTS.items()}
#: The domain of functions that are ops of this library.
DOMAIN = "tlean"


def package() -> ModuleType:
    """The package onnx. Raises: ImportError with the way to get it."""
    try:
        import onnx
    except ImportError:
        raise ImportError("tl.onnx needs the package onnx: pip install 'tlean[onnx]'") from None
    return onnx
