"""From a graph to a plan: the graph, its derivatives, the passes, memory, and the CPU as a target."""
