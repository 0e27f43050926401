"""PyTorch's database of operators, run through tlean: each sample's value, VJP and JVP, eagerly and compiled."""
