"""The incomplete gamma and beta functions, Student's distribution function, and the inverses of all three."""

from . import forms, records, slopes

__all__ = ["forms", "records", "slopes"]
