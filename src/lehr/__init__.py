"""Lehr finds ground states of spin glasses and other binary problems by variational neural annealing.

The names below follow the data: problem, ansatz, schedule, annealing, solve, result. Signs and units: `lehr._types`.
"""

from lehr._types import InputError
from lehr._version import __version__
from lehr.anneal import VariationalAnnealing
from lehr.ansatz.base import Ansatz, SiteOrder
from lehr.ansatz.choose import build_ansatz
from lehr.ansatz.dilated import DilatedRNN
from lehr.ansatz.linear import Linear
from lehr.ansatz.rnn1d import RNN1D
from lehr.ansatz.rnn2d import RNN2D
from lehr.compare import compare
from lehr.exact.choose import exact
from lehr.preset import PRESETS
from lehr.problem import (
    Lattice,
    Problem,
    edwards_anderson,
    newman_moore,
    random_chain,
    sherrington_kirkpatrick,
    wishart,
)
from lehr.problem.convert import from_bqm, from_graph, from_polynomial, to_bqm, to_graph, to_polynomial
from lehr.problem.io import load_problem, save_problem
from lehr.problem.qubo import from_ising, from_qubo, to_ising, to_qubo
from lehr.refine import refine
from lehr.result import Result
from lehr.sampler import Sampler
from lehr.schedule import Controls, GeometricRamp, InverseRamp, LinearRamp, Schedule, TableRamp
from lehr.settings import Settings
from lehr.solve import DivergenceError, resume, solve

__all__ = [  # noqa: RUF022 - the order is that of the data flow
    "Problem",
    "Lattice",
    "random_chain",
    "edwards_anderson",
    "sherrington_kirkpatrick",
    "wishart",
    "newman_moore",
    "from_bqm",
    "to_bqm",
    "from_polynomial",
    "to_polynomial",
    "from_qubo",
    "to_qubo",
    "from_ising",
    "to_ising",
    "from_graph",
    "to_graph",
    "load_problem",
    "save_problem",
    "exact",
    "Ansatz",
    "SiteOrder",
    "Linear",
    "RNN1D",
    "RNN2D",
    "DilatedRNN",
    "build_ansatz",
    "Schedule",
    "Controls",
    "LinearRamp",
    "GeometricRamp",
    "InverseRamp",
    "TableRamp",
    "VariationalAnnealing",
    "Settings",
    "PRESETS",
    "solve",
    "resume",
    "Result",
    "refine",
    "compare",
    "Sampler",
    "InputError",
    "DivergenceError",
    "__version__",
]
