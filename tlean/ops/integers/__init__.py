"""Integers: what ops that compute with numbers do with integers alone, and the ops that take nothing else."""

import importlib

importlib.import_module(".records", __name__)
