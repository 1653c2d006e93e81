"""The scale `paper` of every figure is the papers' own size, although it takes too long to run here: all its problems,
settings, schedules, networks and tasks are built, and none is trained."""

import json
from functools import cache
from itertools import product

import jax
import numpy as np
import pytest

from lehr import newman_moore
from lehr.ansatz.choose import build_ansatz
from lehr.plan import chosen_settings, precision
from lehr.reproduce import FIGURES
from lehr.reproduce.collapse import PAPER_IN_FULL
from lehr.reproduce.collapse import options_of as options_of_collapse
from lehr.reproduce.landscape_study import PAPER as PLANES
from lehr.reproduce.landscape_study import PAPER_QUANTUM, VARIANTS
from lehr.reproduce.landscape_study import options_of as options_of_planes
from lehr.reproduce.paper_a import FAMILIES, is_chain
from lehr.reproduce.paper_a import options_of as options_of_a
from lehr.reproduce.paper_b import PAPER
from lehr.reproduce.paper_b import options_of as options_of_b
from lehr.reproduce.principal import PAPER as COMPONENTS

# Paper A: spins of each system, hidden units, samples, rate, T0, Gamma0, warm-up, parameters of the largest network.
CHAINS = ([32, 64, 128] * 2, 40, 50, 5e-4, 1.0, 1.0, 1000, 128 * 3322)
SMALL_EA, LARGE_EA = (
    ([size], 40, 25, 1e-4, 1.0, 1.0, warm_up, size * 12922) for size, warm_up in ((100, 1000), (1600, 2000))
)
# A dilated network has at each site a layer that hears a spin, others that hear two states, and a head.
SK = ([100], 40, 50, 1e-4, 2.0, None, 2000, 100 * (40 * 43 + 6 * 40 * 81 + 82))
WISHART = ([32], 20, 50, 1e-4, 1.0, None, 1000, 32 * (20 * 23 + 4 * 20 * 41 + 42))
NETWORKS = {
    "a-fig3": CHAINS, "a-fig4a": SMALL_EA, "a-fig4b": LARGE_EA, "a-pca": SMALL_EA,
    **dict.fromkeys(("a-fig6a", "a-fig6d"), SK), **dict.fromkeys(("a-fig6b", "a-fig6c", "a-fig6e", "a-fig6f"), WISHART),
}  # fmt: skip
# Its chains: T0, warm-up, and last annealing steps of simulated annealing; slices, field, and last of the quantum one;
# reads of both.
CHAINS_OF = {
    "a-fig4b": (1.0, 2000, 2**13, 20, 1.0, 2**13, 25),
    **dict.fromkeys(("a-fig6a", "a-fig6d"), (2.0, 2000, 2**14, 100, 2.0, 2**14, 50)),
    **dict.fromkeys(("a-fig6b", "a-fig6c", "a-fig6e", "a-fig6f"), (1.0, 1000, 2**16, 100, 1.0, 2**14, 50)),
}
# Paper B: lattices and method.
LATTICES = {
    "b-fig2a": ([5, 16], "vca"),
    "b-fig2b": ([3, 6], "vca"),
    "b-fig3": ([3, 5], "vqa"),
    "b-fig6": ([3, 6], "vca"),
}
TASKS = {
    "a-fig3": 6 * 4 * 25, "a-fig4a": 8 * 25, "a-fig4b": 4 * 25, "a-pca": 2 * 25,
    **dict.fromkeys([f"a-fig6{letter}" for letter in "abcdef"], 4 * 25),
    "b-fig1": 32, "b-fig2a": 2 * 2 * 10, "b-fig2b": 2 * 2 * 10, "b-fig3": 2 * 3 * 10, "b-fig6": 2 * 2 * 10,
    "b-fig4": 5 * 10, "b-fig5": 2 * 10, "b-collapse": 14 * 10,
}  # fmt: skip


@cache
def problem_of(family, *arguments):
    return FAMILIES[family](*arguments, seed=1)


def settings_of(problem, options):
    """The whole settings of a run, and temperature and field at the start and at the end of its schedule."""
    options = dict(options)
    settings = chosen_settings(problem, options.pop("preset", None), None, options)
    with precision(settings):
        schedule = settings.schedule([problem])
        ends = [schedule(step) for step in (0, schedule.num_steps)]
        assert int(schedule.num_steps) == settings.num_steps
    return settings, [[None if value is None else float(value) for value in (at.temperature, at.field)] for at in ends]


def num_parameters(problem, settings):
    """Of the network in its own precision; shapes alone."""
    with precision(settings):
        ansatz, _ = build_ansatz(problem, settings.ansatz, settings.ansatz_options)
        shapes = jax.eval_shape(ansatz.fresh_params, jax.random.key(0))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize("name", FIGURES)
def test_the_tasks_are_all_there(name):
    figure = FIGURES[name]
    spec = json.loads(json.dumps(figure.scales["paper"]))
    axes = figure.axes(spec)
    assert len({tuple(point) for point in product(*axes.values())}) == TASKS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_paper_a(name):
    spec = FIGURES[name].scales["paper"]
    sizes, hidden, samples, rate, hot, field, warm_up, parameters = NETWORKS[name]
    problems = [problem_of(*system) for system in spec["systems"].values()]
    assert [problem.num_spins for problem in problems] == sizes
    assert spec["num_instances"] == 25
    if name == "a-pca":
        assert spec["num_drawn"] == 10_000
    else:
        assert spec["num_final_samples"] == 1_000_000
    for variant, given in spec["variants"].items():
        assert set(given.get("systems", spec["systems"])) == set(spec["systems"])  # none is left out
        if is_chain(spec, variant):
            continue
        for number in given["ladder"]:
            settings, (first, last) = settings_of(problems[-1], options_of_a(spec, variant, number))
            assert settings.num_steps == settings.num_warmup_steps + 5 * number
            assert settings.replicas == 1
        if "preset" not in given:
            continue
        assert given["ladder"][-1] == (4096 if name in ("a-fig3", "a-pca") else 2**13)
        assert (settings.num_samples, settings.learning_rate, settings.num_warmup_steps) == (samples, rate, warm_up)
        assert (settings.num_training_steps, settings.ramp, settings.dtype) == (5, "linear", "float64")
        assert (settings.optimiser, settings.normalise, settings.ansatz_options["hidden"]) == ("adam", False, hidden)
        assert (settings.ansatz_options["shared"], settings.ansatz_options["informed"]) == (False, False)
        method = "VCA" if variant == COMPONENTS else variant
        assert first == [hot if method in ("VCA", "RVQA") else None, field if method in ("VQA", "RVQA") else None]
        assert last == [None if start is None else 0.0 for start in first]
        assert num_parameters(problems[-1], settings) == parameters


@pytest.mark.parametrize("name", CHAINS_OF)
def test_chains_of_paper_a(name):
    spec = FIGURES[name].scales["paper"]
    hot, warm_up, thermal, slices, field, quantum, reads = CHAINS_OF[name]
    (problem,) = [problem_of(*system) for system in spec["systems"].values()]
    assert [spec["variants"][name]["ladder"] for name in ("SA", "SQA")] == [
        [2**k for k in range(1, int(np.log2(last)) + 1)] for last in (thermal, quantum)
    ]
    settings, (first, last) = settings_of(problem, options_of_a(spec, "SA", thermal))
    assert (settings.replicas, settings.num_warmup_steps, settings.num_training_steps) == (reads, warm_up, 5)
    assert (first[0], last[0]) == pytest.approx((hot, 1e-8), rel=1e-3)
    settings, (first, last) = settings_of(problem, options_of_a(spec, "SQA", quantum))
    assert (settings.replicas, settings.num_slices, settings.num_preanneal_steps) == (reads, slices, 60 * 100)
    assert first == pytest.approx([1.0, field])  # P T = 1
    assert last == pytest.approx([1.0, 1e-8], rel=1e-3)


def is_table_one(problem, options, method, final_samples):
    """Paper B's Table I."""
    settings, (first, last) = settings_of(problem, options)
    assert (settings.method, settings.ansatz, settings.num_final_samples) == (method, "rnn2d", final_samples)
    assert (settings.num_warmup_steps, settings.num_training_steps, settings.num_annealing_steps) == (1000, 5, 10_000)
    assert (settings.num_samples, settings.learning_rate, settings.optimiser) == (100, 1e-4, "adam")
    hot = [10.0, None] if method == "vca" else [None, 10.0]
    assert (first, last) == (hot, [None if start is None else 0.0 for start in hot])
    assert settings.dtype == "float64"
    assert num_parameters(problem, settings) == 3482  # d_h = 40, weights shared


@pytest.mark.parametrize("name", LATTICES)
def test_runs_of_paper_b(name):
    spec = FIGURES[name].scales["paper"]
    sizes, method = LATTICES[name]
    assert (spec["sizes"], spec["num_seeds"]) == (sizes, 10)
    for size in sizes:
        problem = newman_moore(size)
        assert problem.num_spins == size**2
        is_table_one(problem, options_of_b(spec, method, PAPER, size), method, spec["num_final_samples"])
        for variant in spec["variants"]:
            if variant != PAPER:
                assert settings_of(problem, options_of_b(spec, method, variant, size))[0].method == method


@pytest.mark.parametrize(("name", "size"), [("b-fig4", 5), ("b-fig5", 16)])
def test_landscapes_of_paper_b(name, size):
    spec = FIGURES[name].scales["paper"]
    assert (spec["size"], spec["grid"], spec["num_samples"], spec["num_seeds"]) == (size, 200, 100, 10)
    for variant in spec["variants"]:
        options = options_of_planes(spec, variant)
        assert set(spec["changes"]) == {"default"}  # the paper's training is whole
        if "preset" in VARIANTS[variant].options:
            is_table_one(newman_moore(size), options, "vqa" if variant == PAPER_QUANTUM else "vca", 10_000)
        else:
            assert settings_of(newman_moore(size), options)[0].dtype == "float64"
    assert PLANES in spec["variants"]


def test_collapse_at_the_size_of_paper_b():
    spec = FIGURES["b-collapse"].scales["paper"]
    assert (spec["size"], spec["num_seeds"]) == (6, 10)
    problem = newman_moore(6)
    is_table_one(problem, options_of_collapse(spec, PAPER_IN_FULL), "vca", spec["num_final_samples"])
    for variant in spec["variants"]:
        options = options_of_collapse(spec, variant)
        if not isinstance(options.get("optimiser", ""), str):
            del options["optimiser"]  # natural gradient as an object
        settings, _ = settings_of(problem, options)
        assert settings.num_steps == (51_000 if settings.optimiser == "adam" else 5000)


def test_lattices_of_paper_b():
    assert FIGURES["b-fig1"].scales["paper"]["sizes"] == list(range(2, 34))


def test_every_figure_is_looked_at():
    assert {*NETWORKS, *LATTICES, "b-fig1", "b-fig4", "b-fig5", "b-collapse"} == set(FIGURES) == set(TASKS)
