"""Kernels in Python: calls of LAPACK by NumPy, and what is rarely needed."""
