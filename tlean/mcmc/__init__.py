"""Markov chain Monte Carlo: the No-U-Turn sampler as one compiled program, and how many independent draws a chain is worth."""

from .chains import effective_sample_size, split_rhat
from .nuts import Draws, nuts

__all__ = ["Draws", "effective_sample_size", "nuts", "split_rhat"]
