"""Steps of recurrent cells, each as one op."""

from . import cells

__all__ = ["cells"]
