"""What the figures of paper A share: instances with their ground energies, settings, and how to tell of them."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from lehr._types import InputError
from lehr.baseline.settings import BASELINES, BaselineSettings
from lehr.exact.choose import exact
from lehr.preset import preset
from lehr.problem.base import Problem
from lehr.problem.chain import random_chain
from lehr.problem.edwards_anderson import edwards_anderson
from lehr.problem.sherrington_kirkpatrick import sherrington_kirkpatrick
from lehr.problem.wishart import wishart
from lehr.reproduce.figure import Spec
from lehr.reproduce.paper_b import DEFAULT, SINGLE
from lehr.settings import Settings
from lehr.solve import solve

SOURCE = """Paper A (M. Hibat-Allah, E. M. Inack, R. Wiersema, R. G. Melko, J. Carrasquilla, Nature Machine Intelligence
3, 952 (2021), [arXiv:2101.10154](https://arxiv.org/abs/2101.10154))"""
ABSTRACT = '''variational annealing, "on average, [...] substantially outperforms traditional simulated annealing in
the asymptotic limit"'''
FROM_MEMORY = """What follows is our memory of the paper's text and curves, to be checked against it, and so are the
settings ("our setting, after paper A")."""

# In the paper, from memory: instances, and samples behind each mean.
PUBLISHED_INSTANCES, PUBLISHED_SAMPLES = 25, 1_000_000
# Gradient steps, or sweeps, that an annealing step takes in every method.
STEPS_EACH = 5

FAMILIES: Mapping[str, Callable[..., Problem]] = MappingProxyType(
    {
        "chain": random_chain,
        "Edwards-Anderson": edwards_anderson,
        "Sherrington-Kirkpatrick": sherrington_kirkpatrick,
        "Wishart": wishart,
    }
)
# Reads and sweeps of simulated annealing whose lowest energy stands for a ground energy that no exact method knows.
_READS, _SWEEPS = 500, 1000
SAMPLED = f"the lowest energy of {_READS} reads of simulated annealing with {_SWEEPS} sweeps, not certified"


class Instance(NamedTuple):
    """A problem, its ground energy in the units of H, how that is known, and a state that has it."""

    problem: Problem
    ground_energy: float
    oracle: str
    ground_spins: np.ndarray


def instance_of(spec: Spec, system: str, number: int) -> Instance:
    """Instance `number` of a system of the spec, which `spec["systems"]` maps to a family and its arguments; the number
    is the seed of its couplings.

    >>> instance_of({"systems": {"a chain": ["chain", 8, "pm1"]}}, "a chain", 1)[1:3]
    (-7.0, 'enumeration of all states')
    """
    return _instance(*spec["systems"][system], number=number)


@lru_cache(maxsize=256)
def _instance(family: str, *arguments: Any, number: int) -> Instance:
    problem = FAMILIES[family](*arguments, seed=number)
    try:
        reference = exact(problem)
    except InputError:
        return lowest_by_annealing(problem)
    assert reference.ground_spins is not None
    return Instance(problem, reference.ground_energy, reference.oracle, reference.ground_spins)


def lowest_by_annealing(problem: Problem) -> Instance:
    """The problem with the lowest energy that many reads of simulated annealing meet."""
    result = solve(problem, "sa", seed=0, replicas=_READS, num_steps=_SWEEPS, progress=False)
    return Instance(problem, result.best_energy, SAMPLED, result.best_spins)


def options_of(spec: Spec, variant: str, num_annealing: int) -> dict[str, Any]:
    """The arguments of `lehr.solve` for one variant with so many annealing steps.

    `spec["variants"]` maps a variant to its `preset`, or to the `method` of Lehr's default, and to what is changed. A
    default network takes as many gradient steps as the paper's for each annealing step, and its own share of warm-up.

    >>> spec = {"variants": {"VCA": {"method": "vca", "changes": {}}}, "num_final_samples": 9}
    >>> options_of(spec, "VCA", 38)
    {'replicas': 1, 'num_final_samples': 9, 'method': 'vca', 'num_annealing_steps': 190, 'num_warmup_steps': 10}
    """
    given = spec["variants"][variant]
    final = {"replicas": 1, "num_final_samples": spec["num_final_samples"]}
    if "preset" not in given:
        steps = STEPS_EACH * num_annealing
        # Of twenty steps the default warms up for one.
        return {
            **final, "method": given["method"], "num_annealing_steps": steps, "num_warmup_steps": round(steps / 19),
            **given["changes"],
        }  # fmt: skip
    shared = final if isinstance(preset(given["preset"]), Settings) else {}
    return {**shared, "preset": given["preset"], "num_annealing_steps": num_annealing, **given["changes"]}


def paper(name: str, ladder: list[int], **changes: Any) -> dict[str, Any]:
    """A variant with a preset of the paper."""
    return {"preset": name, "ladder": ladder, "changes": changes}


def ours(method: str, ladder: list[int], **changes: Any) -> dict[str, Any]:
    """A variant with Lehr's default."""
    return {"method": method, "ladder": ladder, "changes": changes}


def default_of(variant: str) -> str:
    """The name of Lehr's default beside a variant of the paper.

    >>> default_of("VCA")
    "VCA, Lehr's default"
    """
    return f"{variant}, {DEFAULT}"


def doubled(first: int, last: int, factor: int = 2) -> list[int]:
    """Numbers of annealing steps, each `factor` times the one before.

    >>> doubled(4, 64, 4)
    [4, 16, 64]
    """
    steps = [first]
    while factor * steps[-1] <= last:
        steps.append(factor * steps[-1])
    return steps


def told_settings(spec: Spec) -> str:
    """Every variant with its settings, as items of a list, and where the paper's were cut."""
    return "\n".join(f"* *{name}*: {_told(given)}." for name, given in spec["variants"].items())


def told_warmups(spec: Spec) -> str:
    """That seconds include the sweeps of chains before the ramp, how many these are; nothing without chains.

    >>> told_warmups({"variants": {"SA": paper("a-sk-sa", [2]), "VCA": paper("a-sk-vca", [2])}})
    ', with the warm-up (2000 sweeps of *SA* at every number of annealing steps)'
    """
    each = []
    for name, given in spec["variants"].items():
        if "preset" in given and is_chain(spec, name):
            used = preset(given["preset"]).changed(**given["changes"])
            assert isinstance(used, BaselineSettings)
            kinds = (used.num_warmup_steps, ""), (used.num_preanneal_steps, " of pre-anneal in one slice")
            sweeps = [f"{number} sweeps{what}" for number, what in kinds if number]
            each += [f"{' and '.join(sweeps)} of *{name}*"] if sweeps else []
    return f", with the warm-up ({', '.join(each)} at every number of annealing steps)" if each else ""


def told_instances(spec: Spec) -> str:
    """How many instances and samples, and that the paper has more."""
    number, samples = spec["num_instances"], spec["num_final_samples"]
    fewer = [
        f"{published:,} {what}"
        for published, measured, what in (
            (PUBLISHED_INSTANCES, number, "instances"), (PUBLISHED_SAMPLES, samples, "samples"),
        )
        if measured < published
    ]  # fmt: skip
    cut = f" (the paper has, from memory, {' and '.join(fewer)})" if fewer else ""
    return f"""{number} instances of each system, with the seeds 1 to {number}, fixed in advance; one network for each,
and {samples:,} samples of it at the end{cut}"""


def _told(given: Mapping[str, Any]) -> str:
    first, last = given["ladder"][0], given["ladder"][-1]
    steps = f"{last if first == last else f'{first} to {last}'} annealing steps"
    only = f", of {', '.join(given['systems'])} alone" if "systems" in given else ""
    if "preset" not in given:
        changed = "".join(f", {name} = {value}" for name, value in given["changes"].items())
        return f"one network of `lehr.solve(method={given['method']!r})`, {steps}{changed}{only}"
    return f"preset `{given['preset']}`{_cut(given)}, {steps}{only}"


def _cut(given: Mapping[str, Any]) -> str:
    """What was changed in a preset, in words."""
    whole = preset(given["preset"])
    used = whole.changed(**given["changes"])
    said = []
    if used.num_warmup_steps != whole.num_warmup_steps:
        said.append(f"{used.num_warmup_steps} steps of warm-up instead of {whole.num_warmup_steps}")
    if isinstance(whole, BaselineSettings) and isinstance(used, BaselineSettings):
        said += [
            f"{getattr(used, name)} {word} instead of {getattr(whole, name)}"
            for name, word in (
                ("replicas", "reads"), ("num_slices", "slices"), ("num_preanneal_steps", "sweeps of pre-anneal"),
            )
            if getattr(used, name) != getattr(whole, name)
        ]  # fmt: skip
    if isinstance(whole, Settings) and isinstance(used, Settings):
        if used.learning_rate != whole.learning_rate:
            said.append(f"the rate {used.learning_rate:g} instead of {whole.learning_rate:g}")
        if used.num_samples != whole.num_samples:
            said.append(f"{used.num_samples} samples a step instead of {whole.num_samples}")
        if used.ansatz_options != whole.ansatz_options:
            said.append(f"d_h = {used.ansatz_options['hidden']} instead of {whole.ansatz_options['hidden']}")
        if used.dtype != whole.dtype:
            said.append("in single precision")
    return f" with {', '.join(said)}" if said else " in full"


def is_chain(spec: Spec, variant: str) -> bool:
    """Whether a variant walks Markov chains, and trains no network."""
    given = spec["variants"][variant]
    return (preset(given["preset"]).method if "preset" in given else given["method"]) in BASELINES


QUICK = MappingProxyType({**SINGLE, "num_warmup_steps": 100})
