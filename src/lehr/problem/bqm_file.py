"""dimod's binary file of a `BinaryQuadraticModel` (what `bqm.to_file()` gives).

Lehr decodes it itself: dimod's own reader (0.12) ends the whole process with a segmentation fault on an index out of
range, takes trailing bytes and contradicting copies of a coupling without a word, and leaves NaN to its user. Here
every count is checked against the size of the file first. Nothing is unpickled or evaluated.
"""

import json
import struct
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.problem.convert import to_bqm
from lehr.problem.json_format import label_from_json, label_to_json
from lehr.problem.pairwise import names, pairwise_problem
from lehr.problem.source import MAX_SPINS, Source, first_repeat, shown

BQM_MAGIC = b"DIMODBQM"

_PREFIX = struct.Struct("<8sBBI")
_SECTION = struct.Struct("<4sI")
_REMEDY = "write it again with `bqm.to_file()`"
_TYPES = {"dtype": ("float32", "float64"), "itype": ("int32", "int64"), "ntype": ("int32", "int64")}


def read_bqm_file(source: Source) -> Problem:
    """Read dimod's binary file, version 1 or 2, SPIN or BINARY; `InputError` names the reason."""
    version, header, start = _read_header(source)
    num_spins, num_pairs = header["shape"]
    bias = np.dtype(header["dtype"]).newbyteorder("<")
    spin_type = np.dtype([("start", np.dtype(header["ntype"]).newbyteorder("<")), ("bias", bias)])
    pair_type = np.dtype([("spin", np.dtype(header["itype"]).newbyteorder("<")), ("bias", bias)])
    spins_at = start + bias.itemsize
    pairs_at = spins_at + num_spins * spin_type.itemsize
    end = pairs_at + 2 * num_pairs * pair_type.itemsize
    if end > len(source.data):
        raise source.error(
            f"the header promises {num_spins} variables and {num_pairs} interactions, which take {end} bytes, "
            f"but the file has {len(source.data)}; it is truncated: {_REMEDY}"
        )
    offset = float(np.frombuffer(source.data, bias, 1, start)[0])
    spins = np.frombuffer(source.data, spin_type, num_spins, spins_at)
    neighbours = np.frombuffer(source.data, pair_type, 2 * num_pairs, pairs_at)
    linear = spins["bias"].astype(np.float64)
    if not (np.isfinite(linear).all() and np.isfinite(neighbours["bias"]).all() and np.isfinite(offset)):
        raise source.error(f"some biases are NaN or infinite; correct the model and {_REMEDY}")
    pairs, couplings = _couplings(source, spins["start"].astype(np.int64), neighbours)
    labels = _labels(source, version, header["variables"], end, num_spins)
    bits = header["vartype"] == "BINARY"
    name = Path(source.name).stem
    try:
        return pairwise_problem("path", linear, pairs, couplings, offset, bits=bits, labels=labels, name=name)
    except InputError as error:
        raise source.error(str(error)) from None


def write_bqm_file(problem: Problem) -> bytes:
    """dimod's binary file of a problem of order 1 or 2; `InputError` for anything that it cannot hold."""
    if problem.num_spins > MAX_SPINS:
        raise InputError(f"Argument `problem` must have at most {MAX_SPINS} spins to be saved.")
    for label in names(problem):
        label_to_json(label)
    with to_bqm(problem).to_file() as file:
        return file.read()


def _read_header(source: Source) -> tuple[int, dict[str, Any], int]:
    """Version, checked header, and where the data start."""
    data = source.data
    if not data.startswith(BQM_MAGIC) or len(data) < _PREFIX.size:
        raise source.error(f"this is not dimod's binary file, which starts with {BQM_MAGIC.decode()}: {_REMEDY}")
    _, version, minor, length = _PREFIX.unpack_from(data)
    if (version, minor) not in ((1, 0), (2, 0)):
        raise source.error(f"version {version}.{minor} of dimod's file is unknown; versions 1.0 and 2.0 are read")
    start = _PREFIX.size + length
    if start > len(data):
        raise source.error(f"the header promises {length} bytes, but the file has {len(data)}; it is truncated")
    header = _json(source, data[_PREFIX.size : start], "header")
    keys = {"dtype", "itype", "ntype", "shape", "type", "variables", "vartype"}
    if not isinstance(header, dict) or set(header) != keys:
        raise source.error(f"the header must have the keys {', '.join(sorted(keys))}: {_REMEDY}")
    for key, allowed in (_TYPES | {"vartype": ("SPIN", "BINARY")}).items():
        if header[key] not in allowed:
            raise source.error(f"`{key}` must be {' or '.join(allowed)}, but it is {shown(header[key])}: {_REMEDY}")
    shape = header["shape"]
    if not isinstance(shape, list) or len(shape) != 2 or any(type(n) is not int or n < 0 for n in shape):
        raise source.error(f"`shape` must be the numbers of variables and interactions, but it is {shown(shape)}")
    if not 1 <= shape[0] <= MAX_SPINS:
        raise source.error(f"the number of variables must be from 1 to {MAX_SPINS}, but it is {shown(shape[0])}")
    return version, header, start


def _couplings(source: Source, starts: np.ndarray, neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs and couplings from the neighbourhoods, in which every coupling stands twice, with ascending neighbours."""
    num_spins = starts.size
    degrees = np.diff(starts, append=neighbours.size)
    if starts[0] != 0 or (degrees < 0).any():
        raise source.error(f"the neighbourhoods do not follow each other: {_REMEDY}")
    rows, columns = np.repeat(np.arange(num_spins), degrees), neighbours["spin"].astype(np.int64)
    if ((columns < 0) | (columns >= num_spins)).any():
        raise source.error(f"an interaction names a variable outside 0 to {num_spins - 1}: {_REMEDY}")
    if (rows == columns).any():
        raise source.error(f"variable {rows[rows == columns][0]} interacts with itself: {_REMEDY}")
    if first_repeat(np.stack([rows, columns], axis=1)):
        raise source.error(f"an interaction occurs twice: {_REMEDY}")
    lower, upper = np.flatnonzero(columns < rows), np.flatnonzero(columns > rows)
    lower = lower[np.lexsort((columns[lower], rows[lower]))]
    upper = upper[np.lexsort((rows[upper], columns[upper]))]
    same = (
        np.array_equal(rows[lower], columns[upper])
        and np.array_equal(columns[lower], rows[upper])
        and np.array_equal(neighbours["bias"][lower], neighbours["bias"][upper])
    )
    if not same:
        raise source.error(f"the two copies of an interaction, (u, v) and (v, u), contradict each other: {_REMEDY}")
    return np.stack([columns[lower], rows[lower]], axis=1), neighbours["bias"][lower].astype(np.float64)


def _labels(source: Source, version: int, told: Any, end: int, num_spins: int) -> list[Hashable] | None:
    """Labels from the header (version 1) or from the section behind the data; the file must end with them."""
    if version == 2 and type(told) is not bool:
        raise source.error(f"`variables` must be true or false, but it is {shown(told)}: {_REMEDY}")
    if version == 2 and told:
        if len(source.data) < end + _SECTION.size:
            raise source.error(f"the labels are missing; the file is truncated: {_REMEDY}")
        magic, length = _SECTION.unpack_from(source.data, end)
        start, end = end + _SECTION.size, end + _SECTION.size + length
        if magic != b"VARS" or end > len(source.data):
            raise source.error(f"the labels are incomplete; the file is truncated: {_REMEDY}")
        told = _json(source, source.data[start:end], "list of labels")
    if end != len(source.data):
        raise source.error(f"{len(source.data) - end} bytes follow the model, which is complete before: {_REMEDY}")
    if told is False:
        return None
    if not isinstance(told, list) or len(told) != num_spins:
        raise source.error(f"the labels must be a list of {num_spins}, as many as there are variables: {_REMEDY}")
    try:
        labels = [label_from_json(label) for label in told]
        if len(set(labels)) == num_spins:
            return labels
    except (InputError, RecursionError) as error:
        raise source.error(str(error)) from None
    raise source.error(f"the labels are not all different: {_REMEDY}")


def _json(source: Source, text: bytes, what: str) -> Any:
    def not_finite(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not a number")

    try:
        return json.loads(text.decode("ascii"), parse_constant=not_finite)
    except (ValueError, RecursionError) as error:
        raise source.error(f"the {what} is not valid JSON ({error}); the file is damaged: {_REMEDY}") from None
