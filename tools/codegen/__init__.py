"""Code generation at build time: what the op registry implies, written before anything is compiled."""
