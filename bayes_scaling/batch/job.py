"""A job: which data, grouped how, under which laws, fitted how, and where the fits go. Read from TOML, or made in Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bayes_scaling.engine.devices import require_device
from bayes_scaling.errors import FileError, InputError, brief, nearest
from bayes_scaling.files import require_readable

_MEMORY = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclass(frozen=True)
class LawOptions:
    """How a law is fitted: see `bayes_scaling.fit`; priors as text, ``{"E": "LogNormal(0.5, 0.3)"}``."""

    noise: str | None = None
    input: str | None = None
    fix: Mapping[str, float] = field(default_factory=dict[str, float])
    prior: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Job:
    """Many fits: every group of a table under every law.

    Attributes
    ----------
    data : path, name of a data set, or DataFrame
    laws : names, or paths of Python files that define ``LAW`` (which are run)
    path : folder of the results, made if it is not there
    group : columns; rows that agree in all of them are a group. Without any, all rows are one
    map, units, where, curve, join, on, drop_invalid, drop_duplicates : as in `bayes_scaling.read_runs`
    options : by law; ``""`` holds what applies to all
    chains, draws, warmup, seed, precision, method : as in `bayes_scaling.fit`
    keep_draws : whether draws are stored; the summary always is
    loo : whether each fit is judged by leave-one-out cross-validation
    device : ``auto``, ``cpu`` or ``gpu``
    workers : processes on this machine; by default one a core, or one a GPU
    lanes : data sets that a worker moves side by side on a GPU; on a CPU it takes one after the other
    chunk : fits that a worker is given at a time: what an interruption can lose
    memory : bytes that all workers together may take; there are as many workers as fit into it
    """

    data: Any
    laws: tuple[str, ...]
    path: Path
    group: tuple[str, ...] = ()
    map: Mapping[str, str] = field(default_factory=dict[str, str])
    units: Mapping[str, str] = field(default_factory=dict[str, str])
    where: str | None = None
    curve: Mapping[str, str] | None = None
    join: Any = None
    on: str | None = None
    drop_invalid: bool = False
    drop_duplicates: bool = False
    options: Mapping[str, LawOptions] = field(default_factory=dict[str, LawOptions])
    chains: int = 4
    draws: int = 1000
    warmup: int | None = None
    seed: int = 0
    precision: int = 64
    method: str = "auto"
    keep_draws: bool = True
    loo: bool = True
    device: str = "auto"
    workers: int | None = None
    lanes: int | None = None
    chunk: int | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "laws", tuple(map(str, self.laws)))
        object.__setattr__(self, "group", (self.group,) if isinstance(self.group, str) else tuple(self.group))
        object.__setattr__(self, "path", Path(self.path))
        if not self.laws:
            raise InputError('a job needs at least one law (laws = ["chinchilla"])')
        for kind, names in (("law", self.laws), ("group column", self.group)):
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise InputError(f"the job names the {kind} '{twice[0]}' twice")
        for name in self.options:
            if name and name not in self.laws:
                raise InputError(f"options are given for law '{name}', which the job does not fit{nearest(name, self.laws)}")
        require_device(self.device)
        for name in ("workers", "lanes", "chunk", "memory"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} = {value} must be at least 1")

    def options_of(self, law: str) -> LawOptions:
        """Return how a law is fitted: its own options over those for all."""
        general, own = self.options.get("", LawOptions()), self.options.get(law, LawOptions())
        return LawOptions(
            own.noise or general.noise, own.input or general.input, {**general.fix, **own.fix}, {**general.prior, **own.prior}
        )


def _text(value: Any) -> Any:
    return value if isinstance(value, str) and value and "\0" not in value else None


def _texts(value: Any) -> Any:
    value = [value] if isinstance(value, str) else value
    return tuple(value) if isinstance(value, list) and value and all(map(_text, value)) else None


def _count(value: Any) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _flag(value: Any) -> Any:
    return value if isinstance(value, bool) else None


def _table_of(kind: Any) -> Any:
    def read(value: Any) -> Any:
        return value if isinstance(value, dict) and all(kind(item) is not None for item in value.values()) else None

    return read


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _bytes(value: Any) -> Any:
    if _count(value) is not None:
        return value
    parts = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", value) if isinstance(value, str) else None
    if parts is None or parts[2].upper() not in _MEMORY:
        return None
    try:
        return int(float(parts[1]) * _MEMORY[parts[2].upper()])
    except (ValueError, OverflowError):
        return None


_OF_A_LAW = {
    "noise": (_text, "text"),
    "input": (_text, "text"),
    "fix": (_table_of(_number), "a table of numbers, { E = 1.69 }"),
    "prior": (_table_of(_text), 'a table of text, { E = "LogNormal(0.5, 0.3)" }'),
}
#: What a job file may hold: by section (``""``: before the first), key -> how it is read, and what it must be.
_KEYS: dict[str, dict[str, tuple[Any, str]]] = {
    "": {
        "data": (_text, "the path of a table or the name of a data set"),
        "laws": (_texts, "a list of names, [\"chinchilla\"]"),
        "group": (_texts, "a list of columns, [\"curve\"]"),
        "where": (_text, "a condition, \"flops<1e21\""),
        "curve": (_table_of(_text), "a table of text, { run = \"last\" }"),
        "join": (_text, "the path of a table"),
        "on": (_text, "a column, or \"column=column\""),
        "map": (_table_of(_text), "a table of text, { params = \"n_params\" }"),
        "units": (_table_of(_text), "a table of text, { params = \"billion\" }"),
        "drop_invalid": (_flag, "true or false"),
        "drop_duplicates": (_flag, "true or false"),
        **_OF_A_LAW,
    },
    "sampler": {
        **dict.fromkeys(("chains", "draws", "warmup", "seed", "precision"), (_count, "a whole number")),
        "method": (_text, "auto, nuts or importance"),
    },
    "output": {"path": (_text, "a folder"), "keep_draws": (_flag, "true or false"), "loo": (_flag, "true or false")},
    "run": {
        "device": (_text, "auto, cpu or gpu"),
        **dict.fromkeys(("workers", "lanes", "chunk"), (_count, "a whole number")),
        "memory": (_bytes, "bytes, or text such as \"4GB\""),
    },
}  # fmt: skip


def read_job(path: str | Path) -> Job:
    """Read a job from a TOML file; paths in it are relative to its folder.

    Raises
    ------
    FileError
        If the file cannot be read.
    InputError
        If it is not TOML, or a key or value is not one of a job's; it says which, and the nearest that is.
    """
    import tomllib

    path = Path(path)
    try:
        found = tomllib.loads(require_readable(path, "a job in TOML").read_text(encoding="utf-8-sig"))
    except FileError as error:
        raise FileError(f"cannot read the job: {error}") from None
    except OSError as error:
        raise FileError(f"cannot read the job '{path}': {error.strerror}") from None
    except RecursionError:
        raise InputError(f"the job '{path}' is not TOML of a job: it nests too deep") from None
    except UnicodeDecodeError:
        raise FileError(f"the job '{path}' is not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the job '{path}' is not TOML: {error}") from None
    sections = {name: found.pop(name) for name in (*_KEYS, "law") if name in found}
    settings: dict[str, Any] = {}
    for name, section in {"": found, **sections}.items():
        if not isinstance(section, dict):
            raise InputError(f"{path.name}: '{name}' must be a section, [{name}]")
        if name == "law":
            continue
        settings.update(_read(section, name, _KEYS[name], path.name))
    for name in ("data", "laws"):
        if name not in settings:
            raise InputError(f"{path.name}: no '{name}'; it must be {_KEYS[''][name][1]}")
    if "path" not in settings:
        raise InputError(f'{path.name}: no folder for the results; give [output] path = "results"')
    general = LawOptions(**{name: settings.pop(name) for name in _OF_A_LAW if name in settings})
    options = {"": general}
    for law, section in sections.get("law", {}).items():
        if not isinstance(section, dict):
            raise InputError(f"{path.name}: the options of law '{law}' must be a section, [law.\"{law}\"]")
        options[law] = LawOptions(**_read(section, f'law."{law}"', _OF_A_LAW, path.name))
    return _at(Job(**settings, options=options), path.parent)


def _read(section: dict[str, Any], name: str, keys: Mapping[str, tuple[Any, str]], source: str) -> dict[str, Any]:
    found = {}
    for key, value in section.items():
        where = f"[{name}] {key}" if name else key
        if key not in keys:
            known = [*keys, *(section for section in (*_KEYS, "law") if section)] if not name else keys
            elsewhere = next((section for section, others in _KEYS.items() if key in others), None)
            at = "before the first section" if elsewhere == "" else f"in [{elsewhere}]"
            raise InputError(f"{source}: unknown key '{brief(where)}'" + (nearest(key, known) if elsewhere is None else f"; it goes {at}"))
        read, expected = keys[key]
        found[key] = read(value)
        if found[key] is None:
            raise InputError(f"{source}: {brief(where)} = {brief(repr(value))} must be {expected}")
    return found


def _at(job: Job, folder: Path) -> Job:
    """Return a job with its paths relative to a folder made so."""
    from bayes_scaling.datasets import DATA_SETS

    laws = {law: str(folder / law) if law.endswith(".py") else law for law in job.laws}
    options = {laws.get(name, name): item for name, item in job.options.items()}
    data = job.data if job.data in DATA_SETS else str(folder / job.data)
    joined = str(folder / job.join) if job.join else None
    return replace(job, data=data, join=joined, laws=tuple(laws.values()), options=options, path=folder / job.path)
