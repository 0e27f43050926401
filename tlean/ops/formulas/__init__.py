"""More elementwise ops by formula, by family; `vocabulary` has the functions that their formulas call."""
