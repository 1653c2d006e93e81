"""What figures of residual energies have in common to say: tables, and statements by what was measured."""

import math
from collections.abc import Callable, Container, Sequence
from typing import TypeVar

import numpy as np
import xarray as xr

from lehr.reproduce.figure import Spec, table
from lehr.reproduce.paper_a import STEPS_EACH, instance_of, is_chain, told_instances, told_settings, told_warmups
from lehr.reproduce.residual import Fall, Ratio, fall, fitted_together, measured_steps, ratio
from lehr.reproduce.statistics import shown
from lehr.reproduce.verdict import FAILS, MORE, UNSEEN, Statement

Found = TypeVar("Found")

# At least so many points, this close to their line as a factor, are called a power law.
LEAST_POINTS, STRAIGHT = 4, 2.0
# What is claimed to be "about" so much may be so many times more or less.
ABOUT = 2.0


def told_how(data: xr.Dataset, spec: Spec) -> str:
    """Instances, settings, reference energies, statistics."""
    return f"""{told_instances(spec)}:

{told_settings(spec)}

An annealing step is {STEPS_EACH} gradient steps of a network or {STEPS_EACH} sweeps of a chain;
{_told_before(spec)} on top, not counted in annealing steps, here and in the paper (from memory).
The default network is given as many gradient steps for each annealing step as the paper's, a twentieth of all as
warm-up, and one network stands for the several that `lehr.solve` would train. It ends at a finite temperature or field,
the paper's at 0.
{_told_chains(spec)}

The residual energy is the mean of H over the final samples (the last states of all reads, in all slices) above the
ground energy, per spin. Its floor is h / (N x samples), h the field on a spin (root mean square over spins and random
states): what a single sample makes that lies h above the ground energy{_told_reads(spec)}. Lower residuals count as
that much, and an interval that floors hide begins at 0 or ends at ∞. Ground
energies: {_told_references(spec)}.{_told_below(data)} Typical residuals are geometric means over the instances, with
Student's intervals of 95 % of the logarithms; an exponent a, for a residual that goes as (annealing steps)^a, is that
of least squares on logarithms from {spec["fit_from"]} annealing steps on, and its interval the wider of Student's over
the instances and Student's of the points about the line, two degrees of freedom less than there are points. Seconds are
those of training one network or of one read (its share of the time of all), without start-up{told_warmups(spec)},
typical of the instances, on a machine that did other work as well."""


def told_haste(spec: Spec) -> str:
    """A warning where the paper's networks had fewer steps than in the paper; nothing where they had all."""
    cut = {name: given for name, given in spec["variants"].items() if _is_cut(spec, name)}
    if not cut:
        return ""
    ends = ", ".join(f"{given['ladder'][-1]} for *{name}*" for name, given in cut.items())
    missing = [
        f" *{name}* was not measured on {', '.join(without)}."
        for name, given in cut.items()
        if (without := [at for at in spec["systems"] if at not in given.get("systems", spec["systems"])])
    ]
    return f"""The paper's networks were annealed in few steps, at most {ends}, with the cuts named above: what they
miss may be for want of steps.{"".join(missing)}"""


def _is_cut(spec: Spec, name: str) -> bool:
    given = spec["variants"][name]
    return "preset" in given and bool(given["changes"]) and not is_chain(spec, name)


def _told_chains(spec: Spec) -> str:
    names = _chains_of(spec)
    return f"*{'* and *'.join(names)}* are Lehr's own chains; sweeps go in the order of the spins." if names else ""


def _told_reads(spec: Spec) -> str:
    """Which states of chains are no samples of their own."""
    return "; each read of a chain is one sample, with all its slices" if _chains_of(spec) else ""


def _chains_of(spec: Spec) -> list[str]:
    return [name for name in spec["variants"] if is_chain(spec, name)]


def _told_before(spec: Spec) -> str:
    """What comes before the annealing steps."""
    return "warm-up and pre-anneal come" if "SQA" in spec["variants"] else "the warm-up comes"


def _told_references(spec: Spec) -> str:
    """How ground energies are known, and where in different ways."""
    numbers = range(1, spec["num_instances"] + 1)
    ways: dict[str, list[str]] = {}
    for system in spec["systems"]:
        of_system: dict[str, list[str]] = {}
        for number in numbers:
            of_system.setdefault(instance_of(spec, system, number).oracle, []).append(str(number))
        for oracle, own in of_system.items():
            where = system if len(own) == len(numbers) else f"{system}, seeds {', '.join(own)}"
            ways.setdefault(oracle, []).append(where)
    if len(ways) == 1:
        return next(iter(ways))
    return "; ".join(f"{oracle} ({'; '.join(systems)})" for oracle, systems in ways.items())


def _told_below(data: xr.Dataset) -> str:
    below = int((data["below"] > 0).any("rung").sum())
    return f" **{below} runs met an energy below it**, so that it is no ground energy." if below else ""


def told_residuals(data: xr.Dataset) -> str:
    """A Markdown table with a row for each system and variant, at its largest number of annealing steps."""
    head = [
        "system", "method", "annealing steps", "typical residual per spin", "exponent", "off the line by at most",
        "ground state met", "seconds",
    ]  # fmt: skip
    rows = [head]
    for system in data["system"].values.tolist():
        for name in data["variant"].values.tolist():
            of = data.sel(system=system, variant=name)
            last = last_rung(of)
            if last is None:
                continue
            at = of.isel(rung=last)
            diverged = int((of["diverged"] > 0).any("rung").sum())
            number = int(at["num_floored"])
            floor = f" ({number} at the floor)" if number else ""
            factor = float(of["off_line"])
            rows.append(
                [
                    system,
                    f"{name} ({diverged} diverged)" if diverged else name,
                    f"{float(at['annealing'].max()):.0f}",
                    f"{shown(at, 'typical', '.2g')}{floor}",
                    shown(of, "exponent", ".2f"),
                    "" if math.isnan(factor) else f"a factor {factor:.2f} ({int(of['num_fitted'])} points)",
                    f"{int(at['num_solved'])} of {int(at['num_known'])}",
                    f"{float(at['typical_seconds']):.2g}",
                ]
            )
    return table(rows)


def last_rung(of: xr.Dataset) -> int | None:
    """The number of the last rung that anything was measured of; None where nothing was."""
    known = np.flatnonzero(of["num_known"].values > 0)
    return int(known[-1]) if known.size else None


def below(
    data: xr.Dataset, lower: str, upper: str, claim: str, least_steps: int = 0, *, fewest: bool = False
) -> Statement:
    """That `lower` ends below `upper` in all systems, at the largest number of annealing steps that both have, if that
    is at least `least_steps` (or begins below it, at the `fewest`); not seen where an interval allows both, and wrong
    where one allows the opposite alone."""
    found = ratios(data, upper, lower, fewest=fewest)
    return Statement(
        claim,
        all(one.factor.low > 1 for one in found.values()),
        _known(found) and all(one.num_annealing >= least_steps for one in found.values()),
        f"the residual of *{upper}* is {told_ratios(data, found)} that of *{lower}*{_kept(data, found, upper, lower)}",
        FAILS if any(one.factor.high < 1 for one in found.values()) else UNSEEN,
    )


def lower_by(data: xr.Dataset, lower: str, upper: str, factor: float, claim: str) -> Statement:
    """That `lower` ends below `upper` by about this factor in all systems: half of it to twice as much, with an
    interval that leaves out 1. More than claimed where the interval begins beyond that; not seen where the factor is
    less, for there may be too few steps, or where a wide interval or a floor of the samples allows both."""
    found = ratios(data, upper, lower)
    least, most = factor / ABOUT, factor * ABOUT
    enough = all(one.factor.low > 1 and one.factor.value >= least for one in found.values())
    more = any(one.factor.low > most for one in found.values())
    return Statement(
        claim,
        enough and all(one.factor.value <= most and math.isfinite(one.factor.high) for one in found.values()),
        _known(found),
        f"{told_ratios(data, found)}, where {_short(least)} to {_short(most)} counts as about that much"
        f"{_kept(data, found, upper, lower)}",
        MORE if enough and more else UNSEEN,
    )


def comparable(data: xr.Dataset, one: str, other: str, claim: str) -> Statement:
    """That two variants end within a factor of two of each other in all systems, intervals included; wrong where one
    lies outside, not seen where both are at the floor of their samples."""
    found = ratios(data, other, one)
    return Statement(
        claim,
        all(ratio.factor.low >= 1 / ABOUT and ratio.factor.high <= ABOUT for ratio in found.values()),
        _known(found),
        f"the residual of *{other}* is {told_ratios(data, found)} that of *{one}*{_kept(data, found, other, one)}",
        FAILS if any(ratio.factor.low > ABOUT or ratio.factor.high < 1 / ABOUT for ratio in found.values()) else UNSEEN,
    )


def ratios(data: xr.Dataset, upper: str, lower: str, *, fewest: bool = False) -> dict[str, Ratio]:
    """The ratio of two variants in every system that has one."""
    return _in_systems(data, (upper, lower), lambda system: ratio(data, system, upper, lower, fewest=fewest))


def _in_systems(data: xr.Dataset, variants: Sequence[str], find: Callable[[str], Found | None]) -> dict[str, Found]:
    """What is found of these variants in every system where that is something."""
    if not set(variants) <= set(data["variant"].values.tolist()):
        return {}
    found = {system: find(system) for system in data["system"].values.tolist()}
    return {system: one for system, one in found.items() if one is not None}


def _known(found: dict[str, Ratio]) -> bool:
    """Whether there are ratios, and intervals of all."""
    return bool(found) and all(math.isfinite(one.factor.low) for one in found.values())


def told_ratios(data: xr.Dataset, found: dict[str, Ratio]) -> str:
    """Ratios in words, with the system where the data have several."""
    each = []
    for system, one in found.items():
        value, low, high = map(_short, one.factor)
        interval = f" [{low}, {high}]" if math.isfinite(one.factor.low) else ""
        where = f" ({system})" if data.sizes["system"] > 1 else ""
        each.append(f"{value}{interval} times at {one.num_annealing} steps{where}")
    return "; ".join(each)


def _kept(data: xr.Dataset, found: dict[str, Ratio], upper: str, lower: str) -> str:
    """What a statement about two variants leaves open, after it: floors, and systems where it was not tested."""
    hidden = [
        f"at the floor *{upper}* in {one.floored[0]} and *{lower}* in {one.floored[1]} of {one.num_instances} "
        f"instances{f' ({system})' if data.sizes['system'] > 1 else ''}"
        for system, one in found.items()
        if any(one.floored)
    ]
    return "".join(f"; {one}" for one in hidden) + told_untested(data, found)


def told_untested(data: xr.Dataset, tested: Container[str]) -> str:
    """In which systems a statement was not tested, after it; nothing where it was tested in all."""
    left = [system for system in data["system"].values.tolist() if system not in tested]
    return f"; not tested on {' and '.join(left)}" if left else ""


def _short(number: float) -> str:
    """Two digits, without an exponent where that is possible.

    >>> _short(1234.5), _short(0.00123), _short(math.inf)
    ('1200', '0.0012', '∞')
    """
    return "∞" if math.isinf(number) else f"{float(f'{number:.2g}'):g}"


def exponents(data: xr.Dataset, variant: str, expected: tuple[float, float], claim: str) -> Statement:
    """That the decay of a variant has an exponent in this range, in every system whose exponent is known, intervals
    included; wrong where one lies outside."""
    known = _known_exponents(data, variant)
    low, high = expected
    inside = [of for of in known if low <= float(of["exponent_low"]) and float(of["exponent_high"]) <= high]
    outside = [of for of in known if float(of["exponent_high"]) < low or high < float(of["exponent_low"])]
    return Statement(
        claim,
        len(inside) == len(known),
        bool(known),
        f"its interval is inside of this range in {len(inside)} and outside in {len(outside)} of {len(known)} systems: "
        f"{_listed(known)}{_unfitted(data, known)}",
        FAILS if outside else UNSEEN,
    )


def power_laws(data: xr.Dataset, variant: str, claim: str) -> Statement:
    """That typical residuals decay as a power of the annealing steps: four points or more, none off their line by a
    factor of two. Wrong where one is; not seen where there are fewer, through which most curves pass."""
    known = _known_exponents(data, variant)
    many = [of for of in known if float(of["num_fitted"]) >= LEAST_POINTS]
    straight = [of for of in many if float(of["off_line"]) < STRAIGHT]
    seen = [of for of in straight if float(of["exponent_high"]) < 0]
    worst = max((float(of["off_line"]) for of in known), default=math.nan)
    return Statement(
        claim,
        len(seen) == len(known),
        bool(known),
        f"seen in {len(seen)} of {len(known)} systems, of which {len(many)} have {LEAST_POINTS} points or more; points "
        f"lie off their lines by a factor of {worst:.2f} at most{_unfitted(data, known)}",
        FAILS if len(straight) < len(many) else UNSEEN,
    )


def steeper(data: xr.Dataset, variant: str, others: Sequence[str], claim: str) -> Statement:
    """That the residual of a variant falls more than those of the others, from the fewest to the largest number of
    annealing steps that both have, in every system; wrong where it falls less, not measured where one was not."""
    found = [(name, system, one) for name in others for system, one in _falls(data, variant, name).items()]
    factors = [one.factor for *_, one in found]
    where = len(data["system"]) > 1
    seen = [
        f"{_short(one.factor.value)} [{_short(one.factor.low)}, {_short(one.factor.high)}] times as much as *{name}*"
        f"{f' on {system}' if where else ''}, from {one.first} to {one.last} steps"
        for name, system, one in found
    ]
    return Statement(
        claim,
        all(factor.low > 1 for factor in factors),
        {name for name, *_ in found} == set(others) and all(math.isfinite(factor.low) for factor in factors),
        f"its residual falls {'; '.join(seen)}{told_untested(data, {system for _, system, _ in found})}",
        FAILS if any(factor.high < 1 for factor in factors) else UNSEEN,
    )


def _falls(data: xr.Dataset, steep: str, other: str) -> dict[str, Fall]:
    """How much more one variant falls than another, in every system where that is known."""
    return _in_systems(data, (steep, other), lambda system: fall(data, system, steep, other))


def _fitted_pairs(data: xr.Dataset, one: str, other: str) -> list[tuple[xr.Dataset, xr.Dataset]]:
    """Two variants, fitted together in every system where they can be."""

    def fitted(system: str) -> tuple[xr.Dataset, xr.Dataset] | None:
        of = data.sel(system=system)
        return fitted_together(of.sel(variant=one), of.sel(variant=other))

    return list(_in_systems(data, (one, other), fitted).values())


def _known_exponents(data: xr.Dataset, variant: str) -> list[xr.Dataset]:
    if variant not in data["variant"].values:
        return []
    each = (data.sel(variant=variant, system=system) for system in data["system"].values.tolist())
    return [of for of in each if math.isfinite(float(of["exponent_mean"]))]


def _unfitted(data: xr.Dataset, known: Sequence[xr.Dataset]) -> str:
    return told_untested(data, {of["system"].item() for of in known})


def _listed(known: Sequence[xr.Dataset]) -> str:
    return "; ".join(f"{shown(of, 'exponent', '.2f')} ({of['system'].item()})" for of in known)


def told_crossings(data: xr.Dataset, steep: str, others: Sequence[str]) -> str:
    """Where the fitted power law of one variant crosses those of others, as items of a list."""
    lines = []
    for name in others:
        for one, of in _fitted_pairs(data, steep, name):
            gain = float(of["exponent_mean"] - one["exponent_mean"])
            if gain > 0:  # and not NaN
                steps = (float(one["prefactor"]) / float(of["prefactor"])) ** (1 / gain)
                both = f"{one['system'].item()}: *{steep}* and *{name}*"
                apart = float(one["exponent_high"]) < float(of["exponent_low"])
                doubt = "" if apart else ", if at all: the intervals of the exponents overlap"
                lines.append(f"* {both} at {_short(steps)} annealing steps, {_within(steps, one, of)}{doubt}.")
    return "\n".join(lines) or f"* No law that *{steep}* crosses from above was fitted."


def _within(steps: float, *both: xr.Dataset) -> str:
    """Whether so many annealing steps were measured of both variants."""
    first = max(min(measured_steps(of)) for of in both)
    last = min(max(measured_steps(of)) for of in both)
    if steps < first:
        return f"before the {first:.0f} at which the ladders begin"
    return f"beyond the {last:.0f} that both were measured at" if steps > last else "among the measured ones"


def told_seconds(data: xr.Dataset) -> str:
    """After how many seconds each method is where the first one ends, as items of a list, one for each system."""
    lines = []
    for system in data["system"].values.tolist():
        ladders = {name: _ladder(data.sel(system=system, variant=name)) for name in data["variant"].values.tolist()}
        (first, points), *others = [(name, points) for name, points in ladders.items() if points] or [("", [])]
        if points:
            seconds, goal = points[-1]
            told = "; ".join(f"*{name}* {_arrival(points, goal)}" for name, points in others)
            lines.append(f"* {system}: *{first}* ends at {goal:.2g} after {seconds:.2g} s; {told}.")
    return "\n".join(lines)


def _arrival(points: list[tuple[float, float]], goal: float) -> str:
    """When a ladder first is as low as the goal, or how low it comes."""
    for seconds, value in points:
        if value <= goal:
            return f"is there after {seconds:.2g} s"
    seconds, value = points[-1]
    return f"ends above it, at {value:.2g} after {seconds:.2g} s"


def _ladder(of: xr.Dataset) -> list[tuple[float, float]]:
    """Seconds and typical residual of every rung that was measured."""
    points = zip(of["typical_seconds"].values.tolist(), of["typical_mean"].values.tolist(), strict=True)
    return [point for point in points if all(map(math.isfinite, point))]
