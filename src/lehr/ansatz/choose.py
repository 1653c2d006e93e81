"""Which ansatz a problem gets: by name, or by its structure."""

from collections.abc import Callable, Mapping
from typing import Any

from lehr._types import InputError
from lehr.ansatz.base import Ansatz
from lehr.ansatz.dilated import DilatedRNN
from lehr.ansatz.linear import Linear
from lehr.ansatz.rnn1d import RNN1D
from lehr.ansatz.rnn2d import RNN2D
from lehr.ansatz.symmetrised import Symmetrised, symmetrised
from lehr.problem.base import Problem


def build_ansatz(
    problem: Problem, name: str = "auto", options: Mapping[str, Any] | None = None, symmetrise: str = ""
) -> tuple[Ansatz, str]:
    """An ansatz for `problem` and a line that says which and why.

    Arguments: `name`: "auto", "linear", "rnn1d", "rnn2d" or "dilated"; `options`: keyword arguments of its
    constructor (`lehr.Linear`, `lehr.RNN1D`, ...), and for the recurrent ones `informed`, whether they hear the
    terms of the problem (they do unless it is false); `symmetrise`: the symmetries that p is averaged over, none by
    default (`lehr.symmetry.symmetries`). Errors: `InputError` for an unknown name or option, or where the ansatz does
    not fit the problem.

    >>> build_ansatz(Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 1.0}))[1]
    'linear (8 parameters): all terms are pairwise, where it is the strongest per second'
    """
    options = dict(options or {})
    name, reason = _automatic(problem) if name == "auto" else (name, "as requested")
    if name not in ANSATZE:
        raise InputError(f"Argument `ansatz` must be one of auto, {', '.join(ANSATZE)}, but it is {name!r}.")
    try:
        ansatz = ANSATZE[name](problem, **options)
    except TypeError as error:
        raise InputError(f"Argument `ansatz_options` must hold options of {name!r}, but: {error}.") from None
    described = "".join(f", {key} {value}" for key, value in options.items())
    description = f"{name}{described} ({ansatz.num_parameters} parameters): {reason}"
    return symmetrised(ansatz, description, [problem], symmetrise)


def kind_of(problem: Problem, ansatz: str | Ansatz) -> str:
    """Whether an ansatz, given by name or as an object, is "linear" or "recurrent": the two want other settings."""
    if isinstance(ansatz, str):
        linear = (_automatic(problem)[0] if ansatz == "auto" else ansatz) == "linear"
    else:
        linear = isinstance(ansatz.ansatz if isinstance(ansatz, Symmetrised) else ansatz, Linear)
    return "linear" if linear else "recurrent"


def _automatic(problem: Problem) -> tuple[str, str]:
    """The choice by measured time to the ground state; `benchmarks/ansatz.py` measures it."""
    if problem.order <= 2:
        return "linear", "all terms are pairwise, where it is the strongest per second"
    if problem.lattice is not None and len(problem.lattice.shape) == 2:
        return (
            "rnn2d",
            "terms of three or more spins on a planar lattice, which the linear ansatz cannot learn",
        )
    return "dilated", "terms of three or more spins without a lattice, which the linear ansatz cannot learn"


def _rnn1d(problem: Problem, *, informed: bool = True, **options: Any) -> RNN1D:
    return RNN1D(problem.num_spins, problem=problem if informed else None, **options)


def _rnn2d(problem: Problem, *, informed: bool = True, **options: Any) -> RNN2D:
    if problem.lattice is None or len(problem.lattice.shape) != 2:
        raise InputError(
            f"Argument `ansatz` must suit the problem, but 'rnn2d' needs a two-dimensional lattice "
            f"and {problem.name!r} has none."
        )
    shape = problem.lattice.shape[0], problem.lattice.shape[1]
    return RNN2D(shape, problem=problem if informed else None, **options)


def _dilated(problem: Problem, *, informed: bool = True, **options: Any) -> DilatedRNN:
    return DilatedRNN(problem.num_spins, problem=problem if informed else None, **options)


ANSATZE: dict[str, Callable[..., Ansatz]] = {"linear": Linear, "rnn1d": _rnn1d, "rnn2d": _rnn2d, "dilated": _dilated}
