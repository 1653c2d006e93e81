"""The best state as a picture: on its lattice, as a chain of cells, or as a cut."""

import itertools

import numpy as np

from lehr.problem.base import Problem
from lehr.report.charts import cells
from lehr.report.page import folded
from lehr.result import Result

_MOST_CELLS = 10_000
_MOST_BONDS = 20_000
# A chain of so many cells fits into one row.
_ROW = 24


def cut_of(result: Result) -> float | None:
    """The weight of the best cut, where the problem is Max-Cut: pairs alone, and an offset that makes the energy minus
    the weight between the two sides.

    >>> problem = Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 0.5}, offset=-1.5)
    >>> cut_of(Result.assemble(problem, method="sa", seed=0, samples=np.array([[1, -1, 1]])))
    3.0
    """
    problem = result.problem
    if [terms.order for terms in problem.terms] != [2]:
        return None
    weights = float(problem.terms[0].coefficients.sum())
    made_so = abs(float(problem.offset) + weights) <= problem.resolution and weights != 0
    return -result.best_energy if made_so else None


def picture(result: Result) -> list[str]:
    """Figures of the best state."""
    problem, spins = result.problem, result.best_spins
    if problem.num_spins > _MOST_CELLS:
        return [f'<p class="note">No picture: there are more than {_MOST_CELLS} spins.</p>']
    broken = sum(int((terms.energies(spins.astype(np.float64)) > 0).sum()) for terms in problem.terms)
    note = f"yellow is +1, dark is -1; {broken} of {problem.num_terms} terms are not satisfied"
    lattice = problem.lattice
    if lattice is not None and len(lattice.shape) in (2, 3):
        grid = spins.reshape(lattice.shape)
        if len(lattice.shape) == 2:
            lines = _broken_bonds(problem, spins)
            drawn = ", red lines between neighbours" if lines else ""
            return [cells("Spins on the lattice", [grid], lines, note + drawn)]
        layers = [grid[:, :, layer] for layer in range(lattice.shape[2])]
        return [cells("Spins, layer by layer", layers, [], note)]
    width = min(problem.num_spins, max(_ROW, int(np.ceil(np.sqrt(3 * problem.num_spins)))))
    filled = np.zeros(width * -(-problem.num_spins // width), np.int8)
    filled[: problem.num_spins] = spins
    rows = filled.reshape(-1, width)[::-1].T  # read from the upper left
    if cut_of(result) is None:
        return [cells("Spins in the order of the problem", [rows], [], note)]
    labels = problem.labels or range(problem.num_spins)
    sides = {side: [str(label) for label, spin in zip(labels, spins, strict=True) if spin == side] for side in (1, -1)}
    count = f"{len(sides[1])} nodes on the yellow side, {len(sides[-1])} on the dark one"
    edges = f"{problem.num_terms - broken} of {problem.num_terms} edges between them" if _positive(problem) else ""
    title = "Nodes by side, in the order of the problem"
    return [
        cells(title, [rows], [], ", ".join(part for part in (count, edges) if part)),
        *(folded(f"{name} side", " ".join(sides[side])) for name, side in (("Yellow", 1), ("Dark", -1))),
    ]


def _positive(problem: Problem) -> bool:
    return bool((problem.terms[0].coefficients > 0).all())


def _broken_bonds(problem: Problem, spins: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The borders between neighbouring cells whose coupling is not satisfied, inside an open or periodic grid."""
    assert problem.lattice is not None
    shape = problem.lattice.shape
    lines: list[tuple[int, int, int, int]] = []
    for terms in problem.terms:
        if terms.order != 2 or len(terms.coefficients) > _MOST_BONDS:
            continue
        unsatisfied = terms.energies(spins.astype(np.float64)) > 0
        ends = np.stack(np.unravel_index(np.asarray(terms.indices), shape), axis=-1)[unsatisfied]
        for (x0, y0), (x1, y1) in ends.tolist():
            if (x1 - x0, y1 - y0) == (1, 0):
                lines.append((x1, y0, x1, y0 + 1))
            elif (x1 - x0, y1 - y0) == (0, 1):
                lines.append((x0, y1, x0 + 1, y1))
            else:  # around the edge: on both sides of it
                lines += itertools.chain(_edge(x0, y0, x1, y1, shape))
    return lines


def _edge(x0: int, y0: int, x1: int, y1: int, shape) -> list[tuple[int, int, int, int]]:
    if y0 == y1 and {x0, x1} == {0, shape[0] - 1}:
        return [(x, y0, x, y0 + 1) for x in (0, shape[0])]
    if x0 == x1 and {y0, y1} == {0, shape[1] - 1}:
        return [(x0, y, x0 + 1, y) for y in (0, shape[1])]
    return []
