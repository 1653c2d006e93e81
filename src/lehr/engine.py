"""What `solve` drives: anything that goes on step by step and draws states at the end."""

import abc
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Num, PyTree


class Work(NamedTuple):
    """What a run has spent on one problem, in units that networks and Markov chains share.

    `gradient_steps` of each network; `energy_evaluations` of all replicas: states whose energy was asked for, samples
    of a network or proposed flips of a chain; `spin_updates` of all replicas: spins drawn or proposed to flip.
    """

    gradient_steps: int = 0
    energy_evaluations: int = 0
    spin_updates: int = 0


class Engine(abc.ABC):
    """`branches * num_problems * replicas` independent runs side by side: all of the first branch, problem-major, then
    all of the next.

    What moves from step to step is a pytree of arrays with `best_spins` [K, N] and `best_energy` [K], the lowest state
    that each of the K runs has seen and its energy without the problem's offset; it is all that a checkpoint keeps.
    """

    description: str  # of the ansatz; empty where there is none
    device: str
    num_steps: int
    most_steps: int  # of one call of `advance`
    record_every: int  # steps
    branches: int = 1  # of each replica

    @abc.abstractmethod
    def start(self) -> Any:
        """What moves, before the first step."""

    @abc.abstractmethod
    def compile(self, moving: Any) -> None:
        """Whatever takes long before the first step."""

    @abc.abstractmethod
    def advance(self, moving: Any, num_steps: int) -> tuple[Any, dict[str, Float[np.ndarray, "records runs"]]]:
        """Take up to `most_steps` steps; the records of every `record_every`-th of them, counted from the first step
        of the run. Energies are without the problem's offset; `energy_mean` and `energy_min` are always there."""

    @abc.abstractmethod
    def draw(self, moving: PyTree) -> tuple[Num[np.ndarray, "runs m n"], Float[np.ndarray, "runs m"] | None]:
        """Final states of every run, and their ln p(s) where there is a p."""

    @abc.abstractmethod
    def work(self, num_steps: int) -> Work:
        """What so many steps and the final states cost, for one problem."""

    def temperature(self, num_steps: int) -> float | None:
        """Of the Boltzmann distribution that the final states should follow after so many steps; None where p has no
        such aim."""
        return None

    def fault(self, moving: Any, records: dict[str, np.ndarray]) -> tuple[int, str] | None:
        """Where in the last call of `advance` something became non-finite, and what; None where all is well."""
        return None
