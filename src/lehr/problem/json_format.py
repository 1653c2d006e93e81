"""Lehr's own file: JSON, every order, every float exact, versioned.

    {"format": "lehr-problem", "version": 1, "name": "demo", "num_spins": 3, "offset": 2.0,
     "ground_energy": null, "ground_spins": null, "lattice": {"shape": [3], "boundary": "open"},
     "labels": ["a", 1, ["b", 2.5]],
     "terms": [{"order": 2, "indices": [[0, 1], [1, 2]], "coefficients": [-1.0, 0.1]}]}

Indices count from 0; the sign is dimod's, `H = offset + sum c prod s`. A label is an integer, a finite float, a string
or a list of those (a tuple in Python). `format`, `version`, `num_spins` and `terms` must be there; the others default
to no offset, no labels and so on. Any other key is an error: nothing is silently dropped.
"""

import json
import math
import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lehr._types import InputError
from lehr.problem.base import Lattice, Problem
from lehr.problem.pairwise import plain_label
from lehr.problem.source import MAX_SPINS, Source, first_repeat, shown

_REQUIRED = {"format", "version", "num_spins", "terms"}
_OPTIONAL = {"name", "offset", "ground_energy", "ground_spins", "lattice", "labels"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+|\n')


class _Fault(Exception):
    """A reason, and where: the keys that lead to the value at fault, or its text, or the key that comes twice."""

    def __init__(self, reason: str, *where: str | int, token: str | None = None, repeated: bool = False):
        super().__init__(reason)
        self.where, self.token, self.repeated = where, token, repeated


def write_json(problem: Problem) -> bytes:
    """The JSON file of a problem; `InputError` where a label is of a type that JSON cannot carry."""
    if problem.num_spins > MAX_SPINS:
        raise InputError(f"Argument `problem` must have at most {MAX_SPINS} spins to be saved.")
    lattice = problem.lattice
    fields = {
        "format": "lehr-problem",
        "version": 1,
        "name": problem.name,
        "num_spins": problem.num_spins,
        "offset": float(problem.offset),
        "ground_energy": None if problem.ground_energy is None else float(problem.ground_energy),
        "ground_spins": None if problem.ground_spins is None else problem.ground_spins.tolist(),
        "lattice": None if lattice is None else {"shape": list(map(int, lattice.shape)), "boundary": lattice.boundary},
        "labels": None if problem.labels is None else [label_to_json(label) for label in problem.labels],
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items()]
    groups = []
    for terms in problem.terms:
        indices = ",\n   ".join(map(json.dumps, terms.indices.tolist()))
        coefficients = ",\n   ".join(map(json.dumps, terms.coefficients.tolist()))
        groups.append(
            f'  {{"order": {terms.order}, "indices": [\n   {indices}],\n   "coefficients": [\n   {coefficients}]}}'
        )
    lines.append(' "terms": [\n' + ",\n".join(groups) + "]")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def read_json(source: Source) -> Problem:
    """Read Lehr's JSON; `InputError` names the line, the reason and the key."""
    text = source.text()
    try:
        return _problem(_parsed(text), Path(source.name).stem)
    except json.JSONDecodeError as error:
        raise source.error(f"this is not valid JSON ({error.msg}); is the file complete?", error.lineno) from None
    except RecursionError:
        raise source.error("the lists are nested too deeply; this is no problem file") from None
    except _Fault as fault:
        raise source.error(str(fault), _line_of(text, fault)) from None
    except InputError as error:
        raise source.error(str(error)) from None


def label_to_json(label: Hashable) -> Any:
    """A label as JSON carries it, tuples as lists; `InputError` for other types."""
    label = plain_label(label)
    if type(label) is tuple:
        return [label_to_json(part) for part in label]
    if type(label) is str or (type(label) is int and abs(label) < 10**1000):
        return label
    if type(label) is float and math.isfinite(label):
        return label
    raise InputError(
        f"Argument `problem` has the label {shown(label)} of type {type(label).__name__}, which files cannot hold; "
        f"label with integers, finite floats, strings and tuples of those."
    )


def label_from_json(value: Any) -> Hashable:
    """The inverse of `label_to_json`; `InputError` for anything that it does not write."""
    if type(value) is list:
        return tuple(label_from_json(part) for part in value)
    if type(value) in (str, int) or (type(value) is float and math.isfinite(value)):
        return value
    raise InputError(f"a label must be an integer, a finite float, a string or a list of those, not {shown(value)}")


def _parsed(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise _Fault("a key occurs twice in one object; remove one", repeated=True)
        return dict(pairs)

    def not_finite(constant: str) -> NoReturn:
        raise _Fault(f"{constant} is not a finite number; correct it", token=constant)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=not_finite)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python's limit on the digits of an integer
        raise _Fault("an integer has thousands of digits; correct it") from None


def _problem(data: Any, name: str) -> Problem:
    if not isinstance(data, dict) or data.get("format") != "lehr-problem":
        raise _Fault(
            'this is not Lehr\'s JSON, which has `"format": "lehr-problem"`; give the format of the file, or write it '
            "with `lehr.save_problem(lehr.from_qubo(Q), 'model.json')` (`from_bqm`, `from_ising`, ...)"
        )
    version = data.get("version")
    if type(version) is not int or version != 1:
        raise _Fault(f"version {shown(version)} is unknown; this Lehr reads version 1", "version")
    _check_keys(data, _REQUIRED, _OPTIONAL)
    num_spins = data["num_spins"]
    if type(num_spins) is not int or not 1 <= num_spins <= MAX_SPINS:
        raise _Fault(f"`num_spins` must be an integer from 1 to {MAX_SPINS}, but it is {shown(num_spins)}", "num_spins")
    name = data.get("name", name)
    if type(name) is not str:
        raise _Fault(f"`name` must be a string, but it is {shown(name)}", "name")
    if type(data["terms"]) is not list:
        raise _Fault(f"`terms` must be a list, but it is {shown(data['terms'])}", "terms")
    terms = [_terms(group, num_spins, number) for number, group in enumerate(data["terms"])]
    orders = [indices.shape[1] for indices, _ in terms]
    for number, order in enumerate(orders):
        if order in orders[:number]:
            raise _Fault(f"order {order} occurs twice; join the two groups of terms", "terms", number)
    ground_energy, ground_spins = data.get("ground_energy"), data.get("ground_spins")
    if ground_spins is not None and (type(ground_spins) is not list or any(type(s) is not int for s in ground_spins)):
        raise _Fault(f"`ground_spins` must be a list of integers, but it is {shown(ground_spins)}", "ground_spins")
    ground_energy = None if ground_energy is None else _number(ground_energy, "ground_energy")
    known = {
        "offset": _number(data.get("offset", 0.0), "offset"),
        "labels": _labels(data.get("labels"), num_spins),
        "lattice": _lattice(data.get("lattice"), num_spins),
        "ground_energy": ground_energy,
    }
    try:
        return Problem(num_spins, terms, ground_spins=ground_spins, name=name, **known)
    except InputError as error:
        if ground_spins is None:
            raise
        raise _Fault(str(error), "ground_spins") from None


def _check_keys(data: dict, required: set[str], optional: set[str], *where: str | int) -> None:
    if missing := sorted(required - set(data)):
        raise _Fault(f"the key `{missing[0]}` is missing; is the file complete?", *where)
    if unknown := sorted(set(data) - required - optional):
        raise _Fault(f"the key {shown(unknown[0])} is unknown; remove it", *where, unknown[0])


def _number(value: Any, *where: str | int) -> float:
    try:
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise _Fault(f"{shown(value)} is not a finite number; correct it", *where)


def _terms(group: Any, num_spins: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices[m, k] and coefficients[m] of one group."""
    where = ("terms", number)
    if not isinstance(group, dict):
        raise _Fault(f"a group of terms must be an object, but it is {shown(group)}", *where)
    _check_keys(group, {"order", "indices", "coefficients"}, set(), *where)
    order, indices, coefficients = group["order"], group["indices"], group["coefficients"]
    if type(order) is not int or not 1 <= order <= num_spins:
        raise _Fault(f"`order` must be an integer from 1 to {num_spins}, but it is {shown(order)}", *where, "order")
    if type(indices) is not list or type(coefficients) is not list or len(indices) != len(coefficients):
        raise _Fault("`indices` and `coefficients` must be lists of the same length; is the file complete?", *where)
    for row, spins in enumerate(indices):
        if type(spins) is not list or len(spins) != order or not set(map(type, spins)) <= {int}:
            raise _Fault(f"a term must name {order} spins, but this one is {shown(spins)}", *where, "indices", row)
        if not all(0 <= spin < num_spins for spin in spins):
            raise _Fault(f"spins are counted from 0 to {num_spins - 1}, not {shown(spins)}", *where, "indices", row)
    table = np.array(indices, dtype=np.int64).reshape(-1, order)
    ordered = np.sort(table, axis=1)
    twice = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if twice.size:
        raise _Fault("a term names a spin twice; its square is 1, so leave it out", *where, "indices", int(twice[0]))
    if repeat := first_repeat(ordered):
        raise _Fault(f"this term is also number {repeat[1]} of its order; join them", *where, "indices", repeat[0])
    numbers = [_number(value, *where, "coefficients", row) for row, value in enumerate(coefficients)]
    return table, np.array(numbers)


def _labels(value: Any, num_spins: int) -> Sequence[Hashable] | None:
    if value is None:
        return None
    if type(value) is not list or len(value) != num_spins:
        raise _Fault(f"`labels` must be null or a list of {num_spins}, as many as there are spins", "labels")
    seen: dict[Hashable, int] = {}
    for number, item in enumerate(value):
        try:
            label = label_from_json(item)
        except InputError as error:
            raise _Fault(str(error), "labels", number) from None
        if seen.setdefault(label, number) != number:
            raise _Fault(f"the label {shown(item)} equals label number {seen[label]}; change one", "labels", number)
    return list(seen)


def _lattice(value: Any, num_spins: int) -> Lattice | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _Fault(f"`lattice` must be null or an object, but it is {shown(value)}", "lattice")
    _check_keys(value, {"shape", "boundary"}, set(), "lattice")
    shape, boundary = value["shape"], value["boundary"]
    good = type(shape) is list and shape and all(type(side) is int and side >= 1 for side in shape)
    if not good or math.prod(shape) != num_spins:
        raise _Fault(
            f"`shape` must be sides whose product is {num_spins}, but it is {shown(shape)}", "lattice", "shape"
        )
    if boundary not in ("open", "periodic"):
        raise _Fault(f'`boundary` must be "open" or "periodic", but it is {shown(boundary)}', "lattice", "boundary")
    return Lattice(tuple(shape), boundary)


def _line_of(text: str, fault: _Fault) -> int:
    """Line of a fault in a text that is valid JSON up to there; 1 where it cannot be found."""
    seen = set()
    for path, line, token in _positions(text):
        if fault.repeated:
            found = path in seen
        elif fault.token:
            found = token.startswith(fault.token)  # Python's parser stops there, before it sees what is glued on
        else:
            found = path == fault.where
        if found:
            return line
        seen.add(path)
    return 1


def _positions(text: str) -> Iterator[tuple[tuple[str | int, ...], int, str]]:
    """(keys that lead to it, line, first token) of every value, in the order of the text."""
    path: list[str | int] = []  # the key or position of the value that comes next, in each open list or object
    line, key_next = 1, False
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token == "\n":
            line += 1
        elif token in "]}":
            path.pop()
            key_next = False
        elif token == ",":
            if isinstance(path[-1], int):
                path[-1] += 1
            else:
                key_next = True
        elif token == ":":
            key_next = False
        elif key_next:
            path[-1] = json.loads(token)
        else:
            yield tuple(path), line, token
            if token in "[{":
                path.append(0 if token == "[" else "")
                key_next = token == "{"
