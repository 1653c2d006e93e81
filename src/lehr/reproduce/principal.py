"""Principal components of the samples along an anneal, as in the supplement of paper A: how a network goes from
disorder to the ground states."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lehr.landscape.snapshot import snapshots
from lehr.pca import principal_components
from lehr.plan import chosen_settings, precision
from lehr.problem.base import Problem
from lehr.reproduce.along import spread
from lehr.reproduce.figure import Figure, Spec, filled, table
from lehr.reproduce.paper_a import FROM_MEMORY, QUICK, SOURCE, instance_of, options_of, ours, paper, told_settings
from lehr.reproduce.paper_b import DEFAULT
from lehr.reproduce.verdict import Statement, judged

PAPER = "paper A"
_SYSTEM = "spin glass"
# Samples this close to the ground state or its reverse, in |q|, count as collapsed on the pair.
_CLOSE = 0.9
# An axis that carries so many times what it does of as many random samples is more than chance.
_CHANCE = 1.5
# Of the collapsed samples, so many are at least in each of two ground states that are both held.
_PART = 0.1


def measure_components(spec: Spec, variant: str, instance: int) -> xr.Dataset:
    """Samples of one network at the moments whose temperatures are nearest to those of the spec, along the two
    principal axes of all moments together; at each moment the shares of its own axes, and the overlaps q of its samples
    with the ground state."""
    problem, *_, ground = instance_of(spec, _SYSTEM, instance)
    options = options_of(spec, variant, spec["variants"][variant]["ladder"][-1])
    steps = steps_at(problem, options, spec["temperatures"])
    taken = snapshots(problem, steps, seed=instance, **options)
    drawn = np.stack([one.draw(spec["num_drawn"]) for one in taken])
    together = principal_components(drawn.reshape(-1, problem.num_spins), 2)
    own = [principal_components(samples, 2).shares for samples in drawn]
    random = np.random.default_rng(instance).choice([-1.0, 1.0], drawn.shape[1:])
    return xr.Dataset(
        {
            "temperature": ("moment", np.array([one.values["temperature"] for one in taken])),
            "position": (("moment", "sample", "axis"), together.positions.reshape(*drawn.shape[:2], 2)),
            "overlap": (("moment", "sample"), drawn @ ground / problem.num_spins),
            "own_share": (("moment", "axis"), np.array(own)),
            "common_share": ("axis", together.shares),
            "random_share": float(principal_components(random, 2).shares[0]),
            "energy": ("moment", np.asarray(problem.energy(drawn)).mean(axis=1) / problem.num_spins),
        }
    )


def steps_at(problem: Problem, options: dict[str, Any], temperatures: list[float]) -> list[int]:
    """The steps of an anneal, after its warm-up, whose temperatures are nearest to the given ones."""
    given = dict(options)
    settings = chosen_settings(problem, given.pop("preset", None), None, given)
    with precision(settings):
        schedule = settings.schedule([problem])
        first = settings.num_warmup_steps
        course = np.asarray(jax.vmap(schedule)(first + jnp.arange(settings.num_steps - first + 1)).temperature)
    return [first + int(np.abs(course - wanted).argmin()) for wanted in temperatures]


def summarise_components(data: xr.Dataset) -> xr.Dataset:
    """The data with, at each moment of each run, the mean |q|, the share of the samples that are close to the ground
    state or its reverse, and the smaller of the two parts of these."""
    q = data["overlap"]
    known = q.notnull().all("sample")
    close, positive = abs(q) > _CLOSE, q > _CLOSE
    part = positive.sum("sample") / close.sum("sample").where(close.any("sample"))
    return data.assign(
        mean_overlap=abs(q).mean("sample"),
        close_share=close.mean("sample").where(known),
        smaller_part=np.minimum(part, 1 - part),
    )


def findings_components(data: xr.Dataset, spec: Spec) -> str:
    """What was found, in Markdown."""
    told = [
        "## What was measured",
        filled(_how(spec)),
        table(_rows(data)),
        "## Does it hold?",
        filled(_verdict(data)),
        filled(_WARM),
    ]
    return "\n\n".join(told)


def _how(spec: Spec) -> str:
    family, size = spec["systems"][_SYSTEM][:2]
    return f"""{family} on {size}x{size} spins, {spec["num_instances"]} instances with the seeds 1 to
{spec["num_instances"]}, fixed in advance; {spec["num_drawn"]} samples at each moment:

{told_settings(spec)}

Moments are those of the anneal, after the warm-up, whose temperature is nearest to
{", ".join(f"{at:g}" for at in spec["temperatures"])} J; a ramp that starts or ends elsewhere has its own first or last
one. The share of an axis is that of the variance of one moment's samples along their own first principal axis, beside
that of as many random states; q is the overlap with the exact ground state (matching), and samples with
|q| > {_CLOSE:g} count as collapsed on it or on its reverse, which has the same energy. Where instances differ, their
mean stands with the least and the largest."""


_WARM = """At T = J neighbours are correlated, by tanh(1) = 0.76 across a bond of J alone: samples of the Boltzmann
distribution at the highest temperature of the anneal are no random states, although no axis carries much of them."""


def _rows(data: xr.Dataset) -> list[list[str]]:
    head = ["network", "T / J", "E / N", "first axis", "of random states", "mean \\|q\\|", "collapsed", "smaller part"]
    rows = [head]
    for name in data["variant"].values.tolist():
        for moment in range(data.sizes["moment"]):
            of = data.sel(variant=name).isel(moment=moment)
            rows.append(
                [
                    name, spread(of["temperature"], ".3g"), spread(of["energy"], ".3f"),
                    spread(of["own_share"].isel(axis=0), ".1%"), spread(of["random_share"], ".1%"),
                    spread(of["mean_overlap"]), spread(of["close_share"], ".0%"), spread(of["smaller_part"], ".0%"),
                ]
            )  # fmt: skip
    return rows


def _verdict(data: xr.Dataset) -> str:
    parts = []
    for name in data["variant"].values.tolist():
        parts.append(f"Of *{name}*:\n\n{judged(_statements(data.sel(variant=name)))}")
    return "\n\n".join(parts)


def _statements(of: xr.Dataset) -> list[Statement]:
    known = of["mean_overlap"].notnull().all("moment")
    number, first, last = int(known.sum()), of.isel(moment=0), of.isel(moment=-1)
    plain = (first["own_share"].isel(axis=0) < _CHANCE * of["random_share"]) & known
    collapsed = (last["close_share"] > _CLOSE) & known
    both = (last["smaller_part"] > _PART) & collapsed
    return [
        Statement(
            "At the highest temperature samples have no structure",
            bool(plain.sum() == number),
            number > 0,
            f"in {int(plain.sum())} of {number} instances the first axis has less than {_CHANCE:g} times its share "
            "of random states",
        ),
        Statement(
            "At the end they have collapsed on the ground states",
            bool(collapsed.sum() == number),
            number > 0,
            f"in {int(collapsed.sum())} of {number} instances more than {_CLOSE:.0%} of the samples have",
        ),
        Statement(
            "On both of them, a state and its reverse",
            bool(both.sum() == collapsed.sum()),
            bool(collapsed.any()),
            f"in {int(both.sum())} of {int(collapsed.sum())} of these each holds more than {_PART:.0%} of them",
        ),
    ]


def draw_components(data: xr.Dataset, spec: Spec) -> Any:
    """Samples of the first instance along two axes, and overlaps of all."""
    from lehr.reproduce.residual_pictures import draw_anneals  # matplotlib is optional

    return draw_anneals(data, "Edwards-Anderson: samples along the anneal")


_CLAIM = f"""## What the paper shows

{SOURCE} has principal components of the samples along an anneal in its supplement. {FROM_MEMORY} Of this figure the
memory is weak, so that model and settings are our choice:

* at high temperature samples have no structure; at the end they have collapsed on the ground state and its reverse."""
_LAPTOP = {
    "systems": {_SYSTEM: ["Edwards-Anderson", 10]},
    "variants": {
        PAPER: paper("a-ea10-vca", [128], **{**QUICK, "learning_rate": 1e-3}),
        DEFAULT: ours("vca", [190]),
    },
    "num_instances": 3,
    "num_final_samples": 10,
    "num_drawn": 1000,
    "temperatures": [1.0, 0.7, 0.4, 0.2, 0.0],
}
_FEW = {
    "num_samples": 10, "num_warmup_steps": 5, "dtype": "float32",
    "ansatz_options": {"informed": False, "cell": "tensorised", "hidden": 4, "shared": False, "order": "zigzag"},
}  # fmt: skip
_SMOKE = {
    **_LAPTOP, "systems": {_SYSTEM: ["Edwards-Anderson", 3]}, "num_instances": 2, "num_drawn": 50,
    "variants": {PAPER: paper("a-ea10-vca", [8], **_FEW), DEFAULT: ours("vca", [8])},
}  # fmt: skip
_PAPER = {
    **_LAPTOP, "num_instances": 25, "num_drawn": 10_000,
    "variants": {PAPER: paper("a-ea10-vca", [4096]), DEFAULT: ours("vca", [4096])},
}  # fmt: skip
FIGURES = (
    Figure(
        name="a-pca",
        title="principal components of the samples along an anneal, Edwards-Anderson 10x10",
        claim=filled(_CLAIM),
        scales={"smoke": _SMOKE, "laptop": _LAPTOP, "paper": _PAPER},
        axes=lambda spec: {"variant": list(spec["variants"]), "instance": range(1, spec["num_instances"] + 1)},
        measure=measure_components,
        summarise=summarise_components,
        findings=findings_components,
        draw=draw_components,
    ),
)
