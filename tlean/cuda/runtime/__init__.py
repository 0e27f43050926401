"""Devices, their memory, the driver, and the compiler of kernels."""
