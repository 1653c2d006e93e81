"""What the figures of paper B share: its network and settings beside Lehr's default, at any scale, and in words."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lehr.preset import preset
from lehr.reproduce.figure import Spec, variants_by_seeds
from lehr.settings import Settings
from lehr.tasks import Value

SOURCE = """Paper B (E. M. Inack, S. Morawetz, R. G. Melko, Condensed Matter 7, 38 (2022),
[arXiv:2204.11272](https://arxiv.org/abs/2204.11272))"""

PAPER, DEFAULT, BRANCHES = "paper B", "Lehr's default", "two branches"
VARIANTS = (PAPER, DEFAULT, BRANCHES)

_PRESETS = {"vca": "b-vca", "vqa": "b-vqa"}
# Fields of Lehr's default for figure 3: from above the transition, wherever that is, to where the field hardly matters.
FIELDS = (1.2, 0.05)


def options_of(spec: Spec, method: str, variant: str, size: int) -> dict[str, Any]:
    """The arguments of `lehr.solve` for one of `VARIANTS` on a lattice of L x L.

    `spec` has `paper`, which maps sizes to what differs from Table I, `default`, which changes Lehr's own settings, and
    `num_final_samples`.

    >>> spec = {"paper": {"3": {"num_steps": 510}}, "default": {"num_steps": 20}, "num_final_samples": 9}
    >>> options_of(spec, "vca", PAPER, 3)
    {'preset': 'b-vca', 'num_steps': 510, 'num_final_samples': 9}
    >>> options_of(spec, "vqa", BRANCHES, 3)["branches"]
    2
    """
    final = {"num_final_samples": spec["num_final_samples"]}
    if variant == PAPER:
        return {"preset": _PRESETS[method], **spec["paper"][str(size)], **final}
    changes: dict[str, Any] = {"method": method, **spec["default"], **final}
    if method == "vqa":
        changes["transverse_field"] = FIELDS
    return {**changes, "branches": 2} if variant == BRANCHES else changes


def quicker(times: int, **changes: Any) -> dict[str, Any]:
    """Table I in fewer steps, `times` as large, so that parameters can move as far; in single precision.

    >>> quicker(10)
    {'num_steps': 5100, 'learning_rate': 0.001, 'dtype': 'float32'}
    """
    whole = _table_one("vca")
    rate = float(f"{times * whole.learning_rate:.6g}")
    return {"num_steps": whole.num_steps // times, "learning_rate": rate, "dtype": "float32", **changes}


IN_FULL: Mapping[str, Any] = MappingProxyType({})
SINGLE = {"dtype": "float32"}


def in_seconds(size: int) -> dict[str, Any]:
    """What makes a spec of runs one of the scale `smoke`, on one lattice."""
    return {
        "sizes": [size],
        "num_seeds": 2,
        "paper": {str(size): quicker(500, num_samples=20)},
        "default": {"num_steps": 30, "num_samples": 20},
        "num_final_samples": 200,
    }


def told_settings(spec: Spec, method: str, sizes: Sequence[int]) -> str:
    """The settings of paper B's network at each size, and where they differ from Table I."""
    whole = _table_one(method)
    control = "T" if method == "vca" else "Γ"
    ways: dict[str, list[int]] = {}
    for size in sizes:
        ways.setdefault(_difference(spec["paper"][str(size)], whole), []).append(size)
    each = "; ".join(f"{', '.join(f'L = {size}' for size in of)}: {way}" for way, of in ways.items())
    return f"""*{PAPER}* is the paper's network (one vanilla 2D RNN, weights shared, d_h = 40, shown nothing of the
Hamiltonian, Adam) with Table I (preset `{_PRESETS[method]}`: {control} from 10 J to 0 linearly, {whole.num_steps} steps
of {whole.num_samples} samples at the rate {whole.learning_rate:g}); here, {each}."""


def num_steps_of(spec: Spec, method: str, size: int) -> int:
    """Gradient steps of paper B's network on one lattice."""
    return _table_one(method).changed(**spec["paper"][str(size)]).num_steps


def in_haste(spec: Spec, method: str) -> str:
    """A warning where paper B's network had fewer steps than in the paper, as the end of "Of paper B"."""
    whole = _table_one(method).num_steps
    sizes = [size for size in spec["sizes"] if num_steps_of(spec, method, size) < whole]
    if not sizes:
        return ""
    return f""", which at {", ".join(f"L = {size}" for size in sizes)} had fewer steps than in the paper: what it misses
there may be for want of steps"""


def told_default(spec: Spec) -> str:
    """Where Lehr's own settings were changed, as the end of a sentence."""
    changes = ", ".join(f"{name} = {value}" for name, value in spec["default"].items())
    return f", but with {changes}" if changes else ""


def axes_of_runs(spec: Spec) -> dict[str, Sequence[Value]]:
    """One task for each lattice, network and seed."""
    return {"size": spec["sizes"], **variants_by_seeds(spec)}


def _table_one(method: str) -> Settings:
    settings = preset(_PRESETS[method])
    assert isinstance(settings, Settings)
    return settings


def _difference(changes: Mapping[str, Any], whole: Settings) -> str:
    settings = whole.changed(**changes)
    said = []
    if (settings.num_steps, settings.learning_rate) != (whole.num_steps, whole.learning_rate):
        said.append(
            f"{settings.num_steps} steps, {whole.num_steps / settings.num_steps:.0f} times fewer, at the rate "
            f"{settings.learning_rate:g}"
        )
    if settings.num_samples != whole.num_samples:
        said.append(f"{settings.num_samples} samples a step")
    if settings.dtype != whole.dtype:
        said.append("in single precision")
    return ", ".join(said) or "in full"
