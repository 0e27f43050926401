"""The hot kernels, built for the x86-64 baseline (and every other processor)."""
