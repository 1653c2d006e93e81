"""Branches: a transverse field on its way down and on its way up, and the lower of the two energies at each field.

Where the ground state changes its character at once, a network that follows the field stays behind on the old side:
hysteresis. Coming from both sides, `solve(..., branches=2)`, each side of the transition is followed from where it is
easy. Both energies are upper bounds, so at every field the lower one is the better one.

The network that goes down ends in the smallest field, where its samples are the result's. The one that goes up is
cooled first: in the warm-up it stands in the smallest field while the temperature goes down, as in classical annealing.
Its last samples would show the paramagnet in the largest field; none are kept, but the best state that it met is.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float64

from lehr._types import InputError
from lehr.result import Result

_COLUMNS = ("energy_mean", "free_energy", "free_energy_variance", "temperature", "entropy")


class Envelope(NamedTuple):
    """Energies of R replicas in P fields, in the units of H and with its offset: the lower ones of B branches (1 or 2).

    `field` [P] goes down; `energy` [R, P] with its standard `error` [R, P] belongs to the network that went up where
    `upward` [R, P]; `energies` and `errors` [B, R, P] are those of the branches, the one down first, NaN where a run
    stopped before it came to a field.
    """

    field: Float64[np.ndarray, " p"]
    energy: Float64[np.ndarray, "r p"]
    error: Float64[np.ndarray, "r p"]
    upward: Bool[np.ndarray, "r p"]
    energies: Float64[np.ndarray, "b r p"]
    errors: Float64[np.ndarray, "b r p"]


def lower_envelope(result: Result, num_points: int = 40) -> Envelope:
    """The lower energy of the branches along the field, from the history of a run.

    Steps are averaged over `num_points` windows of equally many fields, however many steps the field stood still at
    each: from the moment that it moves on the way down, and from the end of the cooling on the way up. The state of
    every step is taken to the mean field of its window, where its energy `<H> - field <sum sigma^x>` is an upper bound
    as well. With a temperature, energies are free energies at that of the step.

    Args: `result` of a run in a field, with one branch or two; `num_points` P, fewer where fewer fields were recorded.
    Returns: `Envelope`. Errors are statistical, from the variance of the local values and the number of samples. The
        lower of two energies is too low by up to about one error where they cross.
    Errors: `InputError` where the field does not go down, or the run is not one of networks in a field.

    Source: upper bounds, by the variational principle.

    >>> from lehr import Problem, solve
    >>> chain = Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5})
    >>> settings = {"transverse_field": (2.0, 0.1), "num_steps": 40, "num_final_samples": 10, "replicas": 1, "seed": 0}
    >>> envelope = lower_envelope(solve(chain, "vqa", branches=2, **settings), num_points=4)
    >>> envelope.energies.shape, bool((envelope.energy == envelope.energies.min(axis=0)).all())
    ((2, 1, 4), True)
    """
    if num_points < 1:
        raise InputError(f"Argument `num_points` must be at least 1, but it is {num_points}.")
    history, settings = result.history, result.spec.get("settings", {})
    if not {"field", *_COLUMNS} <= set(history) or "num_samples" not in settings:
        raise InputError("Argument `result` must be of networks in a field, but its history tells of none.")
    branches = [_since_the_field_moved(history)]
    if "up_field" in history:
        branches.append(_since_the_cooling(history))
    fields = np.unique(branches[0]["field"])[::-1]  # steps at the same field share a window
    windows = np.array_split(np.arange(len(fields)), min(num_points, len(fields)))
    below = np.append(fields[1:], fields[-1] + np.diff(fields[-2:]).sum())  # a run that stopped early ends here
    edges = np.array([(fields[w[-1]] + below[w[-1]]) / 2 for w in windows])
    middle = np.array([fields[w].mean() for w in windows])
    found = []
    for branch in branches:
        window = (branch["field"][:, None] < edges[None]).sum(axis=1)
        found.append([_bound(branch, window == number, field) for number, field in enumerate(middle)])
    energies, variances = np.moveaxis(np.array(found), (1, 2), (-1, 0))
    errors = np.sqrt(variances / settings["num_samples"])
    lowest = np.where(np.isnan(energies), np.inf, energies).argmin(axis=0)
    energy, error = (np.take_along_axis(values, lowest[None], axis=0)[0] for values in (energies, errors))
    return Envelope(middle, energy, error, lowest == 1, energies, errors)


def _since_the_field_moved(history: xr.Dataset) -> dict[str, np.ndarray]:
    """The columns of the way down from the first record with another field than the first."""
    fields = history["field"].values[0]
    moved = np.flatnonzero(fields != fields[:1])
    if not (moved.size and (np.diff(fields) <= 0).all()):
        raise InputError("Argument `result` must be of a run whose field goes down, but it does not.")
    return _columns(history, "", slice(moved[0], None))


def _since_the_cooling(history: xr.Dataset) -> dict[str, np.ndarray]:
    """The columns of the way up from where its first field, the smallest, changes or is no hotter than the end of the
    way down: there it meets the hold of the way down."""
    fields, temperatures = (history[f"up_{name}"].values[0] for name in ("field", "temperature"))
    return _columns(history, "up_", (fields != fields[:1]) | (temperatures <= history["temperature"].values[0, -1]))


def _columns(history: xr.Dataset, prefix: str, chosen: slice | np.ndarray) -> dict[str, np.ndarray]:
    """Some records of a branch: `field` [S], others [R, S]."""
    columns = {name: history[prefix + name].values[:, chosen] for name in _COLUMNS}
    return {**columns, "field": history[f"{prefix}field"].values[0, chosen]}


def _bound(branch: dict[str, np.ndarray], inside: np.ndarray, field: float) -> np.ndarray:
    """Mean energy of the states of a window, taken to a field, and its variance for one sample a step, [2, R]."""
    if not inside.any():
        return np.full((2, len(branch["free_energy"])), np.nan)
    energy, free_energy, variance, temperature, entropy = (branch[name][:, inside] for name in _COLUMNS)
    transverse = free_energy - energy + temperature * entropy
    fields = branch["field"][inside]
    ratio = np.divide(field, fields, out=np.ones_like(fields), where=fields > 0)  # <H> is a bound in any field
    moved = free_energy + (ratio[None] - 1) * transverse
    return np.stack([moved.mean(axis=1), variance.mean(axis=1) / inside.sum()])
