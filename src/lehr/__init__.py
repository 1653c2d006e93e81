"""Lehr finds ground states of spin glasses and other binary problems by variational neural annealing."""

from lehr._version import __version__ as __version__
