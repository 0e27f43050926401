"""Plans checked before they may run: operands and memory, the numbers of kernels, the programs of fused groups."""
