"""Settings: everything that decides a run besides its problem, in one JSON-able record."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from sys import float_info
from typing import Any, ClassVar, TypeVar

import numpy as np

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.schedule import LEAST_STEPS, METHODS, RAMPS, Schedule, protocol
from lehr.symmetry import named_kinds

MANY = 2**31 - 1  # step counts are int32 on the device

_Kind = TypeVar("_Kind", bound="RunSettings")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every run has, whether it trains networks or walks Markov chains: when it is how hot, how often, which seed.

    `temperature` and `transverse_field` are (start, stop) in the units of the energy; where None, they are read from
    the problem's local fields (`default_range`). Step counts as in `lehr.Schedule`; `replicas` are independent.
    """

    method: str
    temperature: tuple[float, float] | None = None
    transverse_field: tuple[float, float] | None = None
    ramp: str = "geometric"
    num_warmup_steps: int = 0
    num_annealing_steps: int = 1000
    num_training_steps: int = 1
    num_hold_steps: int = 0
    replicas: int = 1
    seed: int = 0

    # Allowed names, and bounds of whole numbers; the kinds of settings add theirs.
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"ramp": tuple(RAMPS)}
    bounds: ClassVar[Mapping[str, tuple[int, int]]] = {
        **{name: (least, MANY) for name, least in LEAST_STEPS.items()},
        "replicas": (1, MANY),
        "seed": (0, 2**32 - 1),  # JAX drops what lies above in single precision
    }

    def __post_init__(self):
        # The values may come from a command line or from a stranger's run.json: types are checked as well.
        for name, choices in self.choices.items():
            if getattr(self, name) not in choices:
                self._refuse(name, f"one of {', '.join(choices)}")
        for name, (least, most) in self.bounds.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
                open_ended = most == MANY and not (isinstance(value, int) and value > most)
                self._refuse(name, f"an integer of at least {least}" + ("" if open_ended else f" and at most {most}"))
            object.__setattr__(self, name, int(value))
        for name in ("temperature", "transverse_field"):
            ends = getattr(self, name)
            if ends is not None:
                if not isinstance(ends, tuple) or len(ends) != 2 or not all(_is_number(end) for end in ends):
                    self._refuse(name, "two finite numbers, start and stop")
                object.__setattr__(self, name, (float(ends[0]), float(ends[1])))

    def _refuse(self, name: str, wanted: str) -> None:
        raise InputError(f"Argument `{name}` must be {wanted}, but it is {getattr(self, name)!r}.")

    @property
    def num_steps(self) -> int:
        """Number of steps (gradient steps, or sweeps), warm-up and hold included."""
        return self.num_warmup_steps + self.num_annealing_steps * self.num_training_steps + self.num_hold_steps

    def changed(self: _Kind, **changes: Any) -> _Kind:
        """The same settings with some values replaced.

        `num_steps` sets the total number of steps and keeps the shares of warm-up and hold.
        """
        total = changes.pop("num_steps", None)
        unknown = sorted(set(changes) - {f.name for f in fields(self)})
        if unknown:
            known = ", ".join(f.name for f in fields(self))
            raise InputError(f"Argument `{unknown[0]}` must be a setting, but the settings are: num_steps, {known}.")
        pairs = {  # JSON has no tuples
            name: tuple(changes[name])
            for name in ("temperature", "transverse_field")
            if isinstance(changes.get(name), list)
        }
        settings = replace(self, **{**changes, **pairs})
        return settings if total is None else settings._with_total(total)

    def _with_total(self: _Kind, total: int) -> _Kind:
        if not isinstance(total, int | np.integer) or isinstance(total, bool) or not 1 <= total < MANY:
            raise InputError(f"Argument `num_steps` must be an integer of at least 1, but it is {total!r}.")
        training = min(self.num_training_steps, int(total))
        hold = min(round(total * self.num_hold_steps / self.num_steps), total - training)
        warmup = min(round(total * self.num_warmup_steps / self.num_steps), total - training - hold)
        annealing = (total - warmup - hold) // training
        return replace(
            self,
            num_warmup_steps=total - hold - annealing * training,  # with what annealing steps leave over
            num_hold_steps=hold,
            num_annealing_steps=annealing,
            num_training_steps=training,
        )

    def ranges(self, problems: list[Problem]) -> dict[str, Any]:
        """(start, stop) of temperature and field; what was left open is read from the problems, wide enough for all."""
        hots, colds = zip(*map(default_range, problems), strict=True)
        default = max(hots), min(colds)
        return {"temperature": self.temperature or default, "field": self.transverse_field or default}

    def steps(self) -> dict[str, Any]:
        """The step counts, as `lehr.Schedule` takes them."""
        return {name: getattr(self, name) for name in LEAST_STEPS}

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict from which `from_json` makes equal settings."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """Everything that decides a run of networks besides its problem; equal settings, problem and software give equal
    results.

    `temperature` and `transverse_field` are (start, stop) in the units of the energy; where None, they are read from
    the problem's local fields (`default_range`). Step counts as in `lehr.Schedule`. `num_samples` are drawn for each
    gradient step, `num_final_samples` at the end, by each of `replicas` independent networks. `optimiser` is "adam" or
    "natural" (`lehr.optimise`). For Adam `normalise` divides the advantages by their root mean square, and
    `max_gradient_norm` clips the gradient's global norm; the natural gradient controls its own step. `symmetrise` names
    the symmetries of the problem that the networks' distribution is averaged over (`lehr.symmetry.symmetries`), none by
    default, so that what is found is the network's own.

    With `branches=2`, in a field, each replica is two networks: beside the one that goes down in the field, one that is
    cooled in the smallest field during the warm-up, over the range `temperature`, and then goes up through the same
    fields (`lehr.branches`).
    """

    method: str = "vca"
    ansatz: str = "auto"
    ansatz_options: Mapping[str, Any] = field(default_factory=dict)
    symmetrise: str = ""
    num_warmup_steps: int = 50
    num_annealing_steps: int = 950
    num_samples: int = 64
    num_final_samples: int = 1000
    optimiser: str = "adam"
    learning_rate: float = 3e-2
    normalise: bool = True
    max_gradient_norm: float | None = None
    branches: int = 1
    dtype: str = "float32"

    choices: ClassVar = {
        **RunSettings.choices,
        "method": METHODS,
        "optimiser": ("adam", "natural"),
        "dtype": ("float32", "float64"),
    }
    bounds: ClassVar = {
        **RunSettings.bounds,
        "num_samples": (2, MANY),
        "num_final_samples": (1, MANY),
        "branches": (1, 2),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("learning_rate", "max_gradient_norm"):
            value = getattr(self, name)
            absent = value is None and name == "max_gradient_norm"
            if not absent and (value is None or not _is_number(value) or value <= 0):
                self._refuse(name, "positive and finite")
            object.__setattr__(self, name, None if value is None else float(value))
        for name, kind in (("ansatz", str), ("ansatz_options", Mapping), ("symmetrise", str), ("normalise", bool)):
            if not isinstance(getattr(self, name), kind):
                self._refuse(name, {str: "a name", Mapping: "a mapping of options", bool: "true or false"}[kind])
        named_kinds(self.symmetrise)
        if self.branches > 1 and self.method not in ("vqa", "rvqa"):
            self._refuse("branches", f"1 for {self.method}, which has no field")

    @property
    def outline(self) -> str:
        """The settings that people compare, in one line.

        >>> Settings(temperature=(2.0, 0.0), ansatz="dilated", ansatz_options={"hidden": 40}).outline
        'T0 2, dilated, d_h 40, 1000 steps, lr 0.03, 64 samples'
        """
        hot = self.temperature if self.method in ("vca", "rvqa") else None
        field = self.transverse_field if self.method in ("vqa", "rvqa") else None
        starts = [f"{symbol}0 {ends[0]:g}" for symbol, ends in (("T", hot), ("Γ", field)) if ends is not None]
        width = [f"d_h {self.ansatz_options['hidden']}"] if "hidden" in self.ansatz_options else []
        mean = [f"symmetrised ({self.symmetrise})"] if self.symmetrise else []
        ways = ["two branches"] if self.branches > 1 else []
        steps = [f"{self.num_steps} steps", f"lr {self.learning_rate:g}", f"{self.num_samples} samples"]
        return ", ".join([*starts, self.ansatz, *width, *mean, *ways, *steps])

    def schedule(self, problems: list[Problem]) -> Schedule:
        """The schedule of the protocol."""
        cooled = self.branches > 1
        return protocol(self.method, **self.ranges(problems), ramp=self.ramp, cooled=cooled, **self.steps())

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Settings":
        """Settings from a dict; `InputError` where it holds anything else."""
        return cls().changed(**content)


def _is_number(value: Any) -> bool:
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= float_info.max


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
