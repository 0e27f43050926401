"""The packages that reach the driver, PyCUDA and cuda-bindings, behind one seam."""
