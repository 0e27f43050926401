"""The package onnx, which is imported when it is first needed, and what both directions say of dtypes."""

from __future__ import annotations

from types import ModuleType

#: The numbers of ONNX's element types that arrays may have.
ELEMENTS = {"float32": 1, "int32": 6, "int64": 7, "bool": 9, "float64": 11}
DTYPES = {number: name for name, number in ELEMENTS.items()}
#: Those that a wider dtype of this library holds.
SMALL = {
    2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 10: "float16", 12: "uint32", 13: "uint64", 16: "bfloat16", 17: "float8_e4m3fn",
    18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4_e2m1fn", 25: "uint2", 26: "int2",
}  # fmt: skip
#: The domain of functions that are ops of this library.
DOMAIN = "tlean"


def package() -> ModuleType:
    """The package onnx. Raises: ImportError with the way to get it."""
    try:
        import onnx
    except ImportError:
        raise ImportError("tl.onnx needs the package onnx: pip install 'tlean[onnx]'") from None
    return onnx
