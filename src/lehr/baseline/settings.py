"""Settings of the Markov chains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.schedule import Schedule, protocol
from lehr.settings import MANY, RunSettings

BASELINES = ("sa", "sqa", "pt", "metropolis")


@dataclass(frozen=True, kw_only=True)
class BaselineSettings(RunSettings):
    """Everything that decides a run of Markov chains besides its problem. A step is one sweep: every spin, in its
    order, is proposed to flip once in each walker of a read. `replicas` are the independent reads.

    - "sa", simulated annealing: one walker, whose temperature goes down the ramp.
    - "sqa", simulated quantum annealing: `num_slices` walkers P on a Trotter ring; `temperature` is P T, the one at
      which each slice weighs its energy, and `transverse_field` goes down the ramp; each sweep is followed by moves
      that flip a spin in all slices. `num_preanneal_steps` sweeps of simulated annealing, from 3 P T down to T, come
      first, as steps of their own; their end is copied to all slices.
    - "pt", parallel tempering: `num_temperatures` walkers at geometric temperatures over the range, with exchanges of
      neighbours after every sweep.
    - "metropolis": one walker at a constant temperature.

    Each keeps its best visited state.

    >>> BaselineSettings(method="sa", replicas=20).num_steps
    1000
    """

    replicas: int = 100
    num_slices: int = 20
    num_preanneal_steps: int = 0
    num_temperatures: int = 16

    choices: ClassVar = {**RunSettings.choices, "method": BASELINES}
    bounds: ClassVar = {
        **RunSettings.bounds,
        "num_slices": (2, 10_000),
        "num_preanneal_steps": (0, MANY),
        "num_temperatures": (2, 10_000),
    }

    @property
    def num_walkers(self) -> int:
        """Spin configurations of one read."""
        return {"sqa": self.num_slices, "pt": self.num_temperatures}.get(self.method, 1)

    def ranges(self, problems: list[Problem]) -> dict[str, Any]:
        """(start, stop) of temperature and field; the default temperature is constant where the method keeps it."""
        ranges = super().ranges(problems)
        if self.temperature is None and self.method in _CONSTANT:
            ranges["temperature"] = (_CONSTANT[self.method] * ranges["temperature"][0],) * 2
        return ranges

    def schedule(self, problems: list[Problem]) -> Schedule:
        """Temperature and field of each sweep; of parallel tempering, the coldest temperature.

        Errors: `InputError` where a temperature or a field is 0, or a constant temperature is not.
        """
        ranges = self.ranges(problems)
        for name in ("temperature", "field") if self.method == "sqa" else ("temperature",):
            if min(ranges[name]) <= 0:
                raise InputError(f"Argument `{name}` must be above 0 for {self.method}, but it is {ranges[name]}.")
        if self.method == "metropolis" and len(set(ranges["temperature"])) > 1:
            raise InputError(f"Argument `temperature` must start where it stops, but it is {ranges['temperature']}.")
        if self.method == "pt":
            ranges["temperature"] = (min(ranges["temperature"]),) * 2
        return protocol("rvqa" if self.method == "sqa" else "vca", **ranges, ramp=self.ramp, **self.steps())

    def ladder(self, problems: list[Problem]) -> Float64[np.ndarray, " temperatures"]:
        """Temperatures of parallel tempering, geometric from the hottest to the coldest.

        >>> pair = Problem.from_terms(2, {(0, 1): 1.0})
        >>> BaselineSettings(method="pt", temperature=(1.0, 0.25), num_temperatures=3).ladder([pair]).tolist()
        [1.0, 0.5, 0.25]
        """
        ends = self.ranges(problems)["temperature"]
        return np.geomspace(max(ends), min(ends), self.num_temperatures)

    @property
    def outline(self) -> str:
        """The settings that people compare, in one line."""
        hot = self.temperature if self.method != "sqa" else None
        field = self.transverse_field if self.method == "sqa" else None
        starts = [f"{symbol}0 {ends[0]:g}, " for symbol, ends in (("T", hot), ("Γ", field)) if ends is not None]
        walkers = {"sqa": f", {self.num_slices} slices", "pt": f", {self.num_temperatures} temperatures"}
        return f"{''.join(starts)}{self.num_steps} sweeps, {self.replicas} reads{walkers.get(self.method, '')}"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "BaselineSettings":
        """Settings from a dict; `InputError` where it holds anything else."""
        return cls(method="sa").changed(**content)


# Default temperatures of methods that keep theirs, in units of the local fields.
_CONSTANT = {"sqa": 1.0, "metropolis": 0.25}
