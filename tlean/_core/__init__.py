"""The compiled core: arrays, tape, plans and kernels. Imports nothing of tlean."""
