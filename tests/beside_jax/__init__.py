"""Scientific functions beside JAX: values, first and second derivatives."""
