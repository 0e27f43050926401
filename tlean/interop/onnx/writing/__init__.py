"""A recorded program as an ONNX model: a rule for each record (`rules`), or its decomposition."""

from . import elements, linalg, matrices, places, random, repeats, running, shapes, special, transforms, updates, whole, windows

__all__ = [
    "elements",
    "linalg",
    "matrices",
    "places",
    "random",
    "repeats",
    "running",
    "shapes",
    "special",
    "transforms",
    "updates",
    "whole",
    "windows",
]
