"""The hot kernels, built for AVX2 with FMA."""
