"""Settings: everything that decides a run besides its problem, in one JSON-able record."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.schedule import METHODS, RAMPS, Schedule, protocol


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides a run besides its problem; equal settings, problem and software give equal results.

    `temperature` and `transverse_field` are (start, stop) in the units of the energy; where None, they are read from
    the problem's local fields (`default_range`). Step counts as in `lehr.Schedule`. `num_samples` are drawn for each
    gradient step, `num_final_samples` at the end, by each of `replicas` independent networks. `normalise` divides the
    advantages by their root mean square; `max_gradient_norm` clips the gradient's global norm.
    """

    method: str = "vca"
    ansatz: str = "auto"
    ansatz_options: Mapping[str, Any] = field(default_factory=dict)
    temperature: tuple[float, float] | None = None
    transverse_field: tuple[float, float] | None = None
    ramp: str = "geometric"
    num_warmup_steps: int = 50
    num_annealing_steps: int = 950
    num_training_steps: int = 1
    num_hold_steps: int = 0
    num_samples: int = 64
    num_final_samples: int = 1000
    replicas: int = 1
    learning_rate: float = 3e-2
    normalise: bool = True
    max_gradient_norm: float | None = None
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self):
        for name in ("method", "ramp", "dtype"):
            choices = {"method": METHODS, "ramp": tuple(RAMPS), "dtype": ("float32", "float64")}[name]
            if getattr(self, name) not in choices:
                raise InputError(
                    f"Argument `{name}` must be one of {', '.join(choices)}, but it is {getattr(self, name)!r}."
                )
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise InputError(f"Argument `{name}` must be an integer of at least {least}, but it is {value!r}.")
        for name in ("learning_rate", "max_gradient_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"Argument `{name}` must be positive and finite, but it is {value!r}.")

    @property
    def num_steps(self) -> int:
        """Number of gradient steps, warm-up and hold included."""
        return self.num_warmup_steps + self.num_annealing_steps * self.num_training_steps + self.num_hold_steps

    def changed(self, **changes: Any) -> "Settings":
        """The same settings with some values replaced.

        `num_steps` sets the total number of gradient steps and keeps the shares of warm-up and hold.
        """
        total = changes.pop("num_steps", None)
        unknown = sorted(set(changes) - {f.name for f in fields(self)})
        if unknown:
            known = ", ".join(f.name for f in fields(self))
            raise InputError(f"Argument `{unknown[0]}` must be a setting, but the settings are: num_steps, {known}.")
        settings = replace(self, **changes)
        return settings if total is None else settings._with_total(total)

    def _with_total(self, total: int) -> "Settings":
        if not isinstance(total, int) or total < 1:
            raise InputError(f"Argument `num_steps` must be an integer of at least 1, but it is {total!r}.")
        warmup = round(total * self.num_warmup_steps / self.num_steps)
        hold = round(total * self.num_hold_steps / self.num_steps)
        annealing = max(1, (total - warmup - hold) // self.num_training_steps)
        warmup = max(0, total - hold - annealing * self.num_training_steps)
        return replace(self, num_warmup_steps=warmup, num_hold_steps=hold, num_annealing_steps=annealing)

    def schedule(self, problems: list[Problem]) -> Schedule:
        """The schedule; ranges that were left open are read from the first problem."""
        hot, cold = default_range(problems[0])
        return protocol(
            self.method,
            temperature=self.temperature or (hot, cold),
            field=self.transverse_field or (hot, cold),
            ramp=self.ramp,
            num_warmup_steps=self.num_warmup_steps,
            num_annealing_steps=self.num_annealing_steps,
            num_training_steps=self.num_training_steps,
            num_hold_steps=self.num_hold_steps,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict from which `Settings.from_json` makes equal settings."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Settings":
        """Settings from a dict; `InputError` where it holds anything else."""
        pairs = {name: tuple(content[name]) for name in ("temperature", "transverse_field") if content.get(name)}
        return cls().changed(**{**content, **pairs})


_LEAST = {
    "num_warmup_steps": 0,
    "num_annealing_steps": 1,
    "num_training_steps": 1,
    "num_hold_steps": 0,
    "num_samples": 2,
    "num_final_samples": 1,
    "replicas": 1,
    "seed": 0,
}


def default_range(problem: Problem) -> tuple[float, float]:
    """Start and stop of temperature and field, in the units of H, from the problem's local fields.

    The start is near the largest root-mean-square local field (the 90 % quantile over the spins), where all spins
    still flip freely; the stop is 3 % of a small one (the 10 % quantile), where what is left are the last
    near-degenerate flips.

    >>> default_range(Problem.from_terms(2, {(0, 1): 5e6}))
    (5000000.0, 150000.0)
    """
    scale = np.asarray(problem.field_scale())
    scale = scale[scale > 0]
    if not scale.size:
        return 1.0, 0.03
    cold, hot = np.quantile(scale, [0.1, 0.9])
    return float(hot), 0.03 * float(cold)
