"""How it is measured: the processes that are compared, the machine's limits, a kernel's own rate."""
