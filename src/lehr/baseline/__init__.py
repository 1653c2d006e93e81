"""Baselines: Markov chains that anneal without learning, through the same `solve` and into the same Result."""
