"""Programs as functions of arrays: traced, compiled, kept, and run."""
