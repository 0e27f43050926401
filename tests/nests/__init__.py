"""Nests of transformations drawn at random, against JAX or PyTorch."""
