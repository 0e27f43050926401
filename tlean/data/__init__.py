"""`tl.data`: data sets, loaders, augmentations, and readers of data files."""

from . import augment
from .batches import Batches
from .datasets import DataLoader, Dataset
from .readers import read_idx, read_npy, read_npz, write_idx
from .table import read_csv

__all__ = ["Batches", "Dataset", "DataLoader", "augment", "read_csv", "read_idx", "read_npy", "read_npz", "write_idx"]
