"""Named settings: Lehr's defaults, and the hyper-parameters of the two papers' figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lehr._files import read_json, write_json
from lehr._types import InputError
from lehr._version import __version__
from lehr.baseline.settings import BASELINES, BaselineSettings
from lehr.problem.base import Problem
from lehr.settings import Settings


class Preset(NamedTuple):
    """Settings under a name, and what they are for."""

    settings: Settings | BaselineSettings
    description: str


def default_settings(
    problem: Problem, method: str = "vca", ansatz: str = "linear", optimiser: str | None = None
) -> Settings:
    """Lehr's own settings for a problem, a protocol, an ansatz ("linear" or a recurrent one) and an optimiser (None for
    the one that suits the ansatz).

    Chosen by time to the ground state on Edwards-Anderson, Sherrington-Kirkpatrick, Wishart and Newman-Moore instances
    (`benchmarks/acceptance.py`): a cheap network wants Adam with a large learning rate and a geometric ramp, small
    problems many short replicas, dense and large ones smaller and more steps. Recurrent networks want natural gradient:
    fewer steps, and every ground state. In a field, where local energies spread, it wants more samples.
    """
    if ansatz == "linear":
        n, dense = problem.num_spins, problem.coupling_matrix is not None
        steps = 20_000 if n > 500 else 8000 if dense and n > 24 else 2000 if dense else 1000
        return Settings(
            method=method,
            optimiser=optimiser or "adam",
            learning_rate=0.1 if optimiser == "natural" else 1e-2 if dense or n > 500 else 3e-2,
            num_warmup_steps=steps // 20,
            num_annealing_steps=steps - steps // 20,
            replicas=16 if n <= 64 else 8 if dense and n <= 150 else 4 if n <= 500 else 1,
        )
    if optimiser == "adam":
        steps, rate, num_samples = 1000, 3e-3, 100
    elif method in ("vqa", "rvqa"):
        steps, rate, num_samples = 800, 0.3, 200
    else:
        steps, rate, num_samples = 500, 0.2, 100
    return Settings(
        method=method,
        optimiser=optimiser or "natural",
        learning_rate=rate,
        num_warmup_steps=50,
        num_annealing_steps=steps - 50,
        num_samples=num_samples,
        replicas=2,
    )


def preset(name: str | Path) -> Settings | BaselineSettings:
    """The settings of a preset of `PRESETS`, or of a file that `write_preset` wrote, whose name ends with `.json`.

    >>> preset("b-vca").method, preset("b-vca").num_steps
    ('vca', 51000)
    """
    name = str(name)
    if name.endswith(".json"):
        content = read_json(Path(name)).get("settings")
        if not isinstance(content, dict):
            raise InputError(f"Argument `preset` must name a file of settings, but `{name}` holds none.")
        return settings_from_json(content)
    if name not in PRESETS:
        raise InputError(f"Argument `preset` must be one of {', '.join(PRESETS)}, or a JSON file, but it is {name!r}.")
    return PRESETS[name].settings


def write_preset(path: Path, settings: Settings | BaselineSettings, description: str) -> None:
    """A file that `preset` reads."""
    write_json(path, {"description": description, "settings": settings.to_json(), "version": __version__})


def settings_from_json(content: Mapping[str, Any]) -> Settings | BaselineSettings:
    """Settings of networks or of Markov chains, by their method."""
    kind = BaselineSettings if content.get("method") in BASELINES else Settings
    return kind.from_json(content)


def _paper(method: str, scale: float, **settings) -> Settings:
    """What the figures of both papers share: linear ramps to zero, plain Adam, one network, float64."""
    shared = {
        "temperature": (scale, 0.0),
        "transverse_field": (scale, 0.0),
        "ramp": "linear",
        "num_training_steps": 5,
        "normalise": False,
        "dtype": "float64",
    }
    return Settings(method=method, **{**shared, **settings})


_CHAIN = {
    "ansatz": "rnn1d",
    "ansatz_options": {"informed": False, "cell": "tensorised", "hidden": 40, "shared": False},
    "num_warmup_steps": 1000,
    "num_annealing_steps": 1000,
    "num_samples": 50,
    "learning_rate": 5e-4,
    "num_final_samples": 100_000,
}
_EA = {
    "ansatz": "rnn2d",
    "ansatz_options": {"informed": False, "cell": "tensorised", "hidden": 40, "shared": False, "order": "zigzag"},
    "num_warmup_steps": 1000,
    "num_annealing_steps": 1000,
    "num_samples": 25,
    "learning_rate": 1e-4,
    "num_final_samples": 100_000,
}
_DENSE = {
    "ansatz": "dilated",
    "num_annealing_steps": 1000,
    "num_samples": 50,
    "learning_rate": 1e-4,
    "num_final_samples": 100_000,
}
_SK = {**_DENSE, "ansatz_options": {"informed": False, "hidden": 40, "shared": False}, "num_warmup_steps": 2000}
_WPE = {**_DENSE, "ansatz_options": {"informed": False, "hidden": 20, "shared": False}, "num_warmup_steps": 1000}
# Table I also lists a batch size N_b = 10, whose role it does not say, and N_points = 200, which is the landscapes'.
_NEWMAN_MOORE = {
    "ansatz": "rnn2d",
    "ansatz_options": {"informed": False, "cell": "vanilla", "hidden": 40, "shared": True, "order": "raster"},
    "num_warmup_steps": 1000,
    "num_annealing_steps": 10_000,
    "num_samples": 100,
    "learning_rate": 1e-4,
    "num_final_samples": 10_000,
}


def _paper_sa(temperature: float, warmup: int, runs: int) -> BaselineSettings:
    """Linear ramp after a warm-up, five sweeps for each temperature; the paper's sweeps are in random orders."""
    return BaselineSettings(
        method="sa",
        temperature=(temperature, 1e-8),
        ramp="linear",
        num_warmup_steps=warmup,
        num_training_steps=5,
        replicas=runs,
    )


def _paper_sqa(field: float, slices: int, runs: int) -> BaselineSettings:
    """P T = 1, a thermal anneal from T = 3 to 1 / P first, then a linear ramp of the field."""
    return BaselineSettings(
        method="sqa",
        temperature=(1.0, 1.0),
        transverse_field=(field, 1e-8),
        ramp="linear",
        num_preanneal_steps=6000,
        num_training_steps=5,
        num_slices=slices,
        replicas=runs,
    )


_AFTER_A = "our setting, after paper A"

PRESETS: dict[str, Preset] = {
    "a-chain-vca": Preset(_paper("vca", 1.0, **_CHAIN), f"fig. 3, random chains ({_AFTER_A})"),
    "a-chain-vqa": Preset(_paper("vqa", 1.0, **_CHAIN), f"fig. 3, random chains ({_AFTER_A})"),
    "a-ea10-vca": Preset(_paper("vca", 1.0, **_EA), f"fig. 4a, Edwards-Anderson 10x10 ({_AFTER_A})"),
    "a-ea10-vqa": Preset(_paper("vqa", 1.0, **_EA), f"fig. 4a, Edwards-Anderson 10x10 ({_AFTER_A})"),
    "a-ea10-rvqa": Preset(_paper("rvqa", 1.0, **_EA), f"fig. 4a, Edwards-Anderson 10x10 ({_AFTER_A})"),
    "a-ea10-cqo": Preset(_paper("cqo", 1.0, **_EA), f"fig. 4a, Edwards-Anderson 10x10 ({_AFTER_A})"),
    "a-ea40-vca": Preset(
        _paper("vca", 1.0, **{**_EA, "num_warmup_steps": 2000}), f"fig. 4b, Edwards-Anderson 40x40 ({_AFTER_A})"
    ),
    "a-sk-vca": Preset(_paper("vca", 2.0, **_SK), f"fig. 6a, Sherrington-Kirkpatrick N = 100 ({_AFTER_A})"),
    "a-wishart-vca": Preset(_paper("vca", 1.0, **_WPE), f"fig. 6b, 6c, Wishart N = 32 ({_AFTER_A})"),
    "a-ea-sa": Preset(_paper_sa(1.0, 2000, 25), f"fig. 4b, simulated annealing ({_AFTER_A})"),
    "a-ea-sqa": Preset(_paper_sqa(1.0, 20, 25), f"fig. 4b, simulated quantum annealing ({_AFTER_A})"),
    "a-sk-sa": Preset(_paper_sa(2.0, 2000, 50), f"fig. 6a, simulated annealing ({_AFTER_A})"),
    "a-sk-sqa": Preset(_paper_sqa(2.0, 100, 50), f"fig. 6a, simulated quantum annealing ({_AFTER_A})"),
    "a-wishart-sa": Preset(_paper_sa(1.0, 1000, 50), f"fig. 6b, 6c, simulated annealing ({_AFTER_A})"),
    "a-wishart-sqa": Preset(_paper_sqa(1.0, 100, 50), f"fig. 6b, 6c, simulated quantum annealing ({_AFTER_A})"),
    "b-vca": Preset(
        _paper("vca", 10.0, **_NEWMAN_MOORE),
        "Table I, Newman-Moore, thermal (paper B)",
    ),
    "b-vqa": Preset(
        _paper("vqa", 10.0, **_NEWMAN_MOORE),
        "Table I, Newman-Moore, transverse field (paper B)",
    ),
}
