"""Passes over a graph or over the instructions of a plan; `tlean.compiler.lower` runs them in order."""
