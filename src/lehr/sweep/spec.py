"""What a sweep is: problems, settings and seeds, from a TOML file or the same in a dict."""

import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lehr._files import one_line
from lehr._types import InputError
from lehr.plan import ALL_METHODS
from lehr.problem.base import Problem, fingerprint
from lehr.problem.families import FAMILIES, make_problem
from lehr.problem.io import load_problem

# Settings whose single value is a list already: a list of such lists is an axis.
_PAIRS = ("temperature", "transverse_field")
_FILE_KEYS = ("file", "format", "name")
_BATCH = 25
_MOST_VALUES = 1_000_000


class Ensemble(NamedTuple):
    """Instances that differ by their disorder only: averages over them mean something."""

    name: str
    problems: tuple[Problem, ...]


class Setting(NamedTuple):
    """Arguments of `lehr.solve` besides problem and seed; `varied` are those of the options that the grid varies."""

    method: str
    options: Mapping[str, Any]
    varied: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The method and what is varied, in one line.

        >>> Setting("sa", {"replicas": 8, "num_steps": 100}, {"num_steps": 100}).label
        'sa num_steps=100'
        """
        return self._words(self.varied)

    @property
    def curve(self) -> str:
        """The same without the number of steps: settings that differ by that alone are points of one curve."""
        return self._words({name: value for name, value in self.varied.items() if name != "num_steps"})

    def _words(self, varied: Mapping[str, Any]) -> str:
        return " ".join([self.method, *(f"{name}={written(value)}" for name, value in varied.items())])


@dataclass(frozen=True, eq=False)
class Spec:
    """A sweep: every setting with every seed on every instance of every ensemble.

    `exact` says whether exact ground energies are looked for, `batch` how many instances are solved in one program at
    most, `text` is the file.
    """

    ensembles: tuple[Ensemble, ...]
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    exact: bool
    batch: int
    text: str


def read_spec(source: str | Path | Mapping[str, Any]) -> Spec:
    """The sweep in a TOML file, or in a dict of the same shape.

    Tables: `[[problem]]`, several, either of a family of `lehr generate` (`family`, `size`, `seed`, ...; every list is
    an axis) or of files (`file`, `format`), relative to the spec; `[grid]` with `method`, `seed` and settings of
    `lehr.solve`, every list an axis; `[method.NAME]`, what differs for one method. Seeds may be written as "1-25".
    At the top `exact` (true) and `batch` (25).

    Errors: `InputError` in one line that names the key.

    >>> found = read_spec({
    ...     "problem": [{"family": "chain", "size": [8, 16], "seed": "1-3"}],
    ...     "grid": {"method": ["vca", "sa"], "num_steps": [50, 100]},
    ...     "method": {"sa": {"replicas": 20}},
    ... })
    >>> [(ensemble.name, len(ensemble.problems)) for ensemble in found.ensembles]
    [('chain 8 uniform01 open', 3), ('chain 16 uniform01 open', 3)]
    >>> [setting.label for setting in found.settings]
    ['vca num_steps=50', 'vca num_steps=100', 'sa num_steps=50', 'sa num_steps=100']
    """
    if isinstance(source, Mapping):
        return _spec(source, Path(), json.dumps(source, indent=2, default=str))
    try:
        text = Path(source).read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"File `{source}` must be readable TOML, but it is not: {one_line(error)}.") from None
    try:
        return _spec(content, Path(source).parent, text)
    except InputError as error:
        raise InputError(f"File `{source}`: {one_line(error)}.") from None


def written(value: Any) -> str:
    """A value as people would write it into the file.

    >>> written(0.03), written("linear"), written({"hidden": 8})
    ('0.03', 'linear', '{"hidden": 8}')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _spec(content: Mapping[str, Any], folder: Path, text: str) -> Spec:
    _check_keys("", content, ("problem", "grid", "method", "exact", "batch"))
    exact, batch = content.get("exact", True), content.get("batch", _BATCH)
    if not isinstance(exact, bool):
        raise InputError(f"Argument `exact` must be true or false, but it is {exact!r}.")
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise InputError(f"Argument `batch` must be an integer of at least 1, but it is {batch!r}.")
    blocks, grid, methods = content.get("problem"), content.get("grid"), content.get("method", {})
    if not isinstance(blocks, list) or not blocks or not all(isinstance(block, Mapping) for block in blocks):
        raise InputError("Argument `problem` must be one or several tables [[problem]], but it is not.")
    if not isinstance(grid, Mapping):
        raise InputError("Argument `grid` must be a table [grid] with a `method`, but it is not.")
    if not isinstance(methods, Mapping) or not all(isinstance(own, Mapping) for own in methods.values()):
        raise InputError("Argument `method` must be tables like [method.sa], but it is not.")
    settings = tuple(_settings(grid, methods))
    seeds = _seeds("grid.seed", grid.get("seed", 0))
    return Spec(_ensembles(blocks, folder), settings, seeds, exact, batch, text)


def _ensembles(blocks: Sequence[Mapping[str, Any]], folder: Path) -> tuple[Ensemble, ...]:
    """Instances by the name of their ensemble, in the order of the file."""
    found: dict[str, list[Problem]] = {}
    known = set()
    for number, block in enumerate(blocks, start=1):
        where = f"problem[{number}]"
        if ("family" in block) == ("file" in block):
            raise InputError(f"Argument `{where}` must have either a `family` or a `file`, but it does not.")
        if not isinstance(block.get("name", ""), str):
            raise InputError(f"Argument `{where}.name` must be a name, but it is {block['name']!r}.")
        for name, problem in (_of_family if "family" in block else _of_files)(where, block, folder):
            instance = name, problem.name, fingerprint(problem)
            if instance in known:
                raise InputError(f"Argument `{where}` must hold new instances, but {problem.name!r} is there already.")
            known.add(instance)
            found.setdefault(name, []).append(problem)
    return tuple(Ensemble(name, tuple(problems)) for name, problems in found.items())


def _of_family(where: str, block: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Problem]]:
    """Name of the ensemble, and instance: one for each combination of the block's values."""
    families = list(_values(f"{where}.family", block["family"]))
    for family in families:
        if not isinstance(family, str) or family not in FAMILIES:
            raise InputError(
                f"Argument `{where}.family` must be one of {', '.join(FAMILIES)}, but it is {written(family)}."
            )
    choices = dict.fromkeys(name for family in families for name in FAMILIES[family].choices)
    _check_keys(f"{where}.", block, ("family", "size", "name", *choices))
    if "size" not in block:
        raise InputError(f"Argument `{where}.size` must be given, but it is missing.")
    axes = {name: _values(f"{where}.{name}", value) for name, value in block.items() if name not in ("name", "seed")}
    seeds = {"seed": _seeds(f"{where}.seed", block["seed"])} if "seed" in block else {}
    varied = [name for name in axes if len(axes[name]) > 1]
    for values in itertools.product(*axes.values(), *seeds.values()):
        given = dict(zip([*axes, *seeds], values, strict=True))
        family, size = given.pop("family"), given.pop("size")
        problem = make_problem(family, size, given, spelt=f"{where}.{{}}")
        name = re.sub(r" seed \d+$", "", problem.name)
        if "name" in block:
            of = {"family": family, "size": size, **given}
            name = " ".join([block["name"], *(f"{key}={written(of[key])}" for key in varied)])
        yield name, problem


def _of_files(where: str, block: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Problem]]:
    _check_keys(f"{where}.", block, _FILE_KEYS)
    files, format = _values(f"{where}.file", block["file"]), block.get("format")
    if not all(isinstance(file, str) for file in files):
        raise InputError(f"Argument `{where}.file` must name files, but it is {written(block['file'])}.")
    if format is not None and not isinstance(format, str):
        raise InputError(f"Argument `{where}.format` must be the name of a format, but it is {written(format)}.")
    problems = [load_problem(folder / file, format) for file in files]
    others = "" if len(problems) == 1 else f" and {len(problems) - 1} more"
    for problem in problems:
        yield block.get("name", f"{problems[0].name}{others}"), problem


def _settings(grid: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> Iterator[Setting]:
    """Every combination of the values of every method, the last key fastest."""
    if "method" not in grid:
        raise InputError("Argument `grid.method` must name at least one method, but it is missing.")
    methods = _values("grid.method", grid["method"])
    for method in methods:
        if method not in ALL_METHODS:
            raise InputError(
                f"Argument `grid.method` must hold some of {', '.join(ALL_METHODS)}, but it holds {written(method)}."
            )
    for name, own in tables.items():
        if name not in methods:
            raise InputError(f"Argument `method.{name}` must be that of a method in `grid.method`, but it is not.")
        for key in ("method", "seed"):
            if key in own:
                raise InputError(f"Argument `method.{name}.{key}` must stand in [grid], but it does not.")
    shared = {name: value for name, value in grid.items() if name not in ("method", "seed")}
    merged = {method: {**shared, **tables.get(method, {})} for method in methods}
    varied = dict.fromkeys(name for own in merged.values() for name, value in own.items() if _is_axis(name, value))
    for method, own in merged.items():
        axes = []
        for name, value in own.items():
            where = f"method.{method}.{name}" if name in tables.get(method, {}) else f"grid.{name}"
            axes.append(_values(where, value) if _is_axis(name, value) else (value,))
        for values in itertools.product(*axes):
            options = dict(zip(own, values, strict=True))
            yield Setting(method, options, {name: options[name] for name in varied if name in options})


def _is_axis(name: str, value: Any) -> bool:
    if not isinstance(value, list | tuple):
        return False
    return name not in _PAIRS or any(isinstance(one, list | tuple) for one in value)


def _values(where: str, value: Any) -> tuple[Any, ...]:
    """The values of an axis; a single one is an axis of its own."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values:
        raise InputError(f"Argument `{where}` must have at least one value, but it is empty.")
    repeated = [one for place, one in enumerate(values) if one in values[:place]]
    if repeated:
        raise InputError(f"Argument `{where}` must hold each value once, but {written(repeated[0])} is there twice.")
    return values


def _seeds(where: str, value: Any) -> tuple[int, ...]:
    """Seeds from a number, a list of numbers, or a text like "1-25".

    >>> _seeds("seed", "3-5")
    (3, 4, 5)
    """
    stretch = re.fullmatch(r"(\d{1,10})-(\d{1,10})", value) if isinstance(value, str) else None
    if stretch:
        first, last = map(int, stretch.groups())
        values = tuple(range(first, last + 1)) if last - first < _MOST_VALUES else ()
    else:
        values = _values(where, value)
    good = [isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**32 for one in values]
    if not values or not all(good):
        raise InputError(
            f'Argument `{where}` must be whole numbers from 0 to 2**32 - 1, or two of them like "1-25", '
            f"but it is {written(value)}."
        )
    return values


def _check_keys(where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise InputError(f"Argument `{where}{key}` must be one of {', '.join(known)}, but there is no such key.")
