"""Content of NetCDF files: written in memory, and read with suspicion, since the file may come from anybody."""

from __future__ import annotations

import io
import warnings
from typing import Any

from bayes_scaling.errors import FileError

_MOST_PACKED = 1100  # bytes that zlib packs into one, and some


def netcdf(tree: Any, **options: Any) -> bytes:
    """Return a tree or data set of xarray as the content of a NetCDF file.

    Made in memory: the HDF5 library may crash the process where a disk is full.
    """
    return bytes(tree.to_netcdf(engine="h5netcdf", **options))


def read_netcdf(content: bytes, name: str, what: str = "a fit") -> Any:
    """Return the tree in the content of a NetCDF file, which is all that is read.

    Parameters
    ----------
    name, what : of the file, and what it should be, for messages

    Raises
    ------
    FileError
        If it holds links to other files, or claims to hold more than so many bytes can.
    """
    import h5py
    import xarray

    with h5py.File(io.BytesIO(content)) as file:
        claimed = _claimed_bytes(file, name, what)
    if claimed > _MOST_PACKED * len(content):
        raise FileError(f"'{name}' has {len(content)} bytes and claims to hold {claimed:.3g}: it is damaged, or not to be trusted")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is unusual about a foreign file; what matters of it is checked
        with xarray.open_datatree(io.BytesIO(content), engine="h5netcdf") as opened:
            return opened.load()


def _claimed_bytes(group: Any, name: str, what: str) -> int:
    """Return the size of all arrays in a group of HDF5 once read; refuse what would read other files."""
    import h5py

    total = 0
    for key in group:
        link = group.get(key, getlink=True)
        item = None if isinstance(link, (h5py.ExternalLink, h5py.SoftLink)) else group[key]
        if item is None or (isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)):
            raise FileError(f"'{name}' is not {what} of bayes-scaling: its '{key}' is a link to other data")
        total += _claimed_bytes(item, name, what) if isinstance(item, h5py.Group) else item.size * item.dtype.itemsize
    return total
