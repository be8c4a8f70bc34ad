"""Data sets by name: the built-in `ladder`, and public ones that are downloaded once with a checksum.

``BAYES_SCALING_DATA`` names a folder that is searched first, so that named public data sets work offline.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bayes_scaling.cache import cache_folder
from bayes_scaling.errors import FileError, InputError, nearest


@dataclass(frozen=True)
class DataSet:
    """A named data set: its file (inside the package, or an address with a checksum), and how its columns are to be read."""

    name: str
    title: str
    source: str
    file: str
    url: str = ""
    sha256: str = ""
    map: Mapping[str, str] = field(default_factory=dict[str, str])
    where: str | None = None
    licence: str = ""

    @property
    def built_in(self) -> bool:
        return not self.url


@dataclass(frozen=True)
class Located:
    """Where a data set or file lies, and how its columns are to be read."""

    path: Path
    label: str
    map: Mapping[str, str] = field(default_factory=dict[str, str])
    where: str | None = None


_EPOCH = "https://raw.githubusercontent.com/epoch-research/analyzing-chinchilla/92258837425e1b5f2851d624287f0120583a3d0e"

DATA_SETS: Mapping[str, DataSet] = {
    item.name: item
    for item in (
        DataSet(
            name="ladder",
            title="byte-level transformers from 2.8k to 1M params, trained by this project on the source of Python's standard library",
            source="benchmarks/train_ladder.py; provenance in bayes_scaling/data/ladder.json",
            file="ladder.csv",
            licence="Apache-2.0",
        ),
        DataSet(
            name="chinchilla",
            title="245 Chinchilla runs reconstructed from figure 4 of Hoffmann et al. 2022 (arXiv 2203.15556)",
            source="Besiroglu et al. 2024 (arXiv 2404.10102), repository epoch-research/analyzing-chinchilla",
            file="svg_extracted_data.csv",
            url=f"{_EPOCH}/data/svg_extracted_data.csv",
            sha256="193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30",
            map={"params": "Model Size", "compute": "Training FLOP", "loss": "loss"},
            licence="none stated",
        ),
    )
}


def data_set(name: str) -> DataSet:
    """Return a data set's description by name."""
    if name not in DATA_SETS:
        raise InputError(f"no data set '{name}'{nearest(name, DATA_SETS)}")
    return DATA_SETS[name]


def resolve(source: str | Path) -> Located:
    """Return the file behind a path or a data set's name. A file of that name in the working folder does not shadow a data set."""
    text = str(source)
    if text in DATA_SETS:
        item = DATA_SETS[text]
        return Located(fetch(item), f"data set '{item.name}'", item.map, item.where)
    path = Path(text)
    if not text.strip() or (not os.path.exists(path) and path.suffix == "" and os.sep not in text):
        raise FileError(f"'{text}' is neither a file nor a data set{nearest(text, DATA_SETS)}")
    return Located(path, text)


def fetch(item: DataSet) -> Path:
    """Return the local file of a data set; download it into the cache if it is not there.

    Raises
    ------
    FileError
        If a mirror's file has another checksum, or the download fails.
    """
    if item.built_in:
        return Path(__file__).parent / "data" / item.file
    for folder in _mirrors():
        path = folder / item.file
        if path.is_file():
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != item.sha256:
                raise FileError(f"'{path}' is not the published file of '{item.name}': sha256 {found[:12]}…, expected {item.sha256[:12]}…")
            return path
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(item.url, f"sha256:{item.sha256}", item.file, cache_folder() / "data", progressbar=sys.stderr.isatty()))
    except Exception as error:  # pooch passes through whatever the transport raises; the user needs the same remedy for all
        raise FileError(
            f"cannot download '{item.name}' from {item.url}: {type(error).__name__}; "
            f"put the file {item.file} into a folder and name it in BAYES_SCALING_DATA"
        ) from error


def _mirrors() -> list[Path]:
    named = os.environ.get("BAYES_SCALING_DATA", "")
    return [folder for part in named.split(os.pathsep) if part for folder in (Path(part), Path(part) / "raw")]
