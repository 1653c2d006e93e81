"""Normalised distributions p(s): what is trained."""
