"""Loops of plans: their bodies as rows of calls, and what drives them."""
