"""Arrays of numbers and names with named dimensions, in netCDF files that are safe to open."""

from pathlib import Path
from typing import Any

import h5py
import xarray as xr

from lehr._files import one_line, written_whole
from lehr._types import InputError

# Deflate shrinks data by at most 1032; a file that promises more lies about its size. Small arrays are never refused.
_MOST_COMPRESSION = 1100
_HARMLESS_BYTES = 2**26
_CHUNK_BYTES = 2**20
_SMALL_BYTES = 2**12


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset of numbers and names as compressed netCDF, whole or not at all."""
    encoding = {name: _encoding(variable) for name, variable in dataset.variables.items()}
    with written_whole(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


def read_dataset(path: Path) -> xr.Dataset:
    """Read a dataset of numbers and names.

    No decoding but that of characters, no links to other files, no objects, no more data than the file can hold: a
    stranger's file can only be a set of arrays.

    Errors: `InputError` in one line where the file is anything else, or damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            most_bytes = max(_HARMLESS_BYTES, _MOST_COMPRESSION * path.stat().st_size)
            for name in file:
                _check_plain(file, str(name), most_bytes)
        with xr.open_dataset(path, engine="h5netcdf", decode_cf=False) as dataset:
            return _with_names(dataset.load())
    except Exception as error:  # the HDF5 library answers damage with errors of many types
        raise InputError(f"File `{path}` must be readable netCDF, but it is not: {one_line(error)}.") from None


def _with_names(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with its arrays of characters joined to names."""
    joined = xr.decode_cf(dataset, mask_and_scale=False, decode_times=False, decode_coords=False)
    words = {
        name: (found.dims, found.values.astype(str)) for name, found in joined.variables.items() if found.dtype == "O"
    }
    return joined.assign(words).load()


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    if variable.dtype.kind == "U":
        return {"dtype": "S1"}  # characters in an array, whose size a reader knows before it reads them
    return {"_FillValue": None, **_layout(variable)}


def _layout(variable: xr.Variable) -> dict[str, Any]:
    if variable.nbytes < _SMALL_BYTES:  # what describes the chunks would take more room than the numbers
        return {}
    chunks = _chunk(variable.shape, variable.dtype.itemsize)
    return {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": chunks}


def _chunk(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Whole rows, about a megabyte of them: equal states lie side by side and shrink well."""
    if len(shape) == 1:
        return (min(shape[0], _CHUNK_BYTES // itemsize),)
    *outer, rows, columns = shape
    return (*(1 for _ in outer), min(rows, max(1, _CHUNK_BYTES // (columns * itemsize))), columns)


def _check_plain(file: h5py.File, name: str, most_bytes: int) -> None:
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"`{name}` lies elsewhere")
    entry = file[name]
    if not isinstance(entry, h5py.Dataset) or entry.external or entry.is_virtual:
        raise ValueError(f"`{name}` is not an array of its own")
    if entry.dtype.kind not in "biufS":
        raise ValueError(f"`{name}` holds something else than numbers and characters")
    if entry.nbytes > most_bytes:
        raise ValueError(f"`{name}` promises more data than the file can hold")
