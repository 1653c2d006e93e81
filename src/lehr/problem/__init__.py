"""What is minimised: problems, their families, their files."""

from lehr.problem.base import Lattice as Lattice
from lehr.problem.base import Problem as Problem
from lehr.problem.base import stack as stack
from lehr.problem.chain import random_chain as random_chain
from lehr.problem.edwards_anderson import edwards_anderson as edwards_anderson
from lehr.problem.newman_moore import newman_moore as newman_moore
from lehr.problem.sherrington_kirkpatrick import sherrington_kirkpatrick as sherrington_kirkpatrick
from lehr.problem.wishart import wishart as wishart
from lehr.problem.wishart import wishart_planted_state as wishart_planted_state
