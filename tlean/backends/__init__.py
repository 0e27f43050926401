"""How an op is interpreted: each module implements `Ops`."""
