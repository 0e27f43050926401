"""What runs a program op by op: eager, and the dual numbers of forward mode."""
