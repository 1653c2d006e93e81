"""The defaults beside simulated annealing and parallel tempering in the same seconds.

`python benchmarks/beside.py [NAME ...]` prints for each instance of the named families (keys of `FAMILIES`) how far
above the ground state, per spin, `lehr.solve` with its defaults ended, and the two others given the seconds that its
training took (`lehr.compare`: reads side by side, a ladder of lengths, the lowest energy of all). The ground energy is
exact where a method for it is known, and otherwise the lowest energy that any of the three has met, or one of the two
others in a minute more. Seeds are fixed in advance.
"""

import sys
from collections.abc import Callable, Iterator

import lehr

OTHERS = ("sa", "pt")
REFERENCE_SECONDS = 60.0


def _squares(side: int, seeds: range) -> Iterator[lehr.Problem]:
    return (lehr.edwards_anderson(side, seed=seed) for seed in seeds)


def _cubes(side: int) -> Iterator[lehr.Problem]:
    return (lehr.edwards_anderson((side,) * 3, "gaussian", boundary="periodic", seed=seed) for seed in range(1, 4))


def _wishart(alpha: float) -> Iterator[lehr.Problem]:
    return (lehr.wishart(64, alpha, seed=seed) for seed in range(1, 11))


FAMILIES: dict[str, Callable[[], Iterator[lehr.Problem]]] = {
    "ea10": lambda: _squares(10, range(1, 13)),
    "ea20": lambda: _squares(20, range(1, 13)),
    "ea40": lambda: _squares(40, range(1, 13)),
    "ea64": lambda: _squares(64, range(1, 4)),
    "ea100": lambda: _squares(100, range(1, 3)),
    "cube6": lambda: _cubes(6),
    "cube8": lambda: _cubes(8),
    "cube10": lambda: _cubes(10),
    "wpe64-0.5": lambda: _wishart(0.5),
    "wpe64-0.25": lambda: _wishart(0.25),
}


def ground_energy(problem: lehr.Problem) -> float | None:
    """The exact one, None where no method for it is known."""
    if problem.ground_energy is not None:
        return float(problem.ground_energy)
    try:
        return float(lehr.exact(problem).ground_energy)
    except lehr.InputError:
        return None


def lowest(problem: lehr.Problem, seconds: float, seed: int = 0) -> dict[str, float]:
    """The lowest energy that each of the others met in so many seconds."""
    comparison = lehr.compare(problem, OTHERS, seconds=seconds, seed=seed)
    return {method: min(min(rung.energies) for rung in comparison.of(method)) for method in OTHERS}


def main(names: list[str]) -> None:
    """Print a line for each instance, and how often each method met the ground state."""
    for name in names or FAMILIES:
        hits = dict.fromkeys(("vca", *OTHERS), 0)
        for problem in FAMILIES[name]():
            result = lehr.solve(problem)
            found = {"vca": result.best_energy, **lowest(problem, result.seconds["train"])}
            exact = ground_energy(problem)
            best = exact
            if exact is None:
                best = min(*found.values(), *lowest(problem, REFERENCE_SECONDS, seed=1).values())
            gaps = {method: (energy - best) / problem.num_spins for method, energy in found.items()}
            for method, gap in gaps.items():
                hits[method] += gap < 1e-9
            told = "  ".join(f"{method} +{max(gap, 0):.2e}" for method, gap in gaps.items())
            print(f"  {problem.name:<40} {best:.10g}  {told}  in {result.seconds['train']:.1f} s each", flush=True)
        told = ", ".join(f"{method} {number}" for method, number in hits.items())
        print(f"{name}: {'ground state' if exact is not None else 'lowest energy'} met by {told}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
