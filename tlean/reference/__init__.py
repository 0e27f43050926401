"""The executable specification: every op by its definition in NumPy."""
