"""Functions that scientific programs expect by name. Composites throughout."""

from .elements import NumericOps
from .lines import LineOps
from .present import PresentOps
from .products import ProductOps
from .samples import SampleOps

__all__ = ["LineOps", "NumericOps", "PresentOps", "ProductOps", "SampleOps"]
