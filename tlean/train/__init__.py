"""Training: parameters, trainers, optimisers, data."""
