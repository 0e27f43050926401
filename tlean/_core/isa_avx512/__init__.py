"""The hot kernels, built for AVX-512 (F, DQ, BW, VL)."""
