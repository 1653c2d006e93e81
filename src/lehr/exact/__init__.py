"""Exact references: energies, free energies and ground states that owe nothing to sampling or training."""
