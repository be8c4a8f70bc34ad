"""Bad input: how a case of (input, exit code, message) is run. `benchmarks/attacks.py` prints all of them with what was observed.

Every case is a command line in a folder of its own, run in this process. Whatever goes wrong must do so before anything is sampled.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shlex
import shutil
import socket
import stat
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

Content = str | bytes | Callable[[Path], Any]


class Case(NamedTuple):
    """A command line, what it must say, the files that it finds, and its exit code.

    ``FIT`` and ``GROUPED`` in the command line are stored fits: of the Chinchilla law, and of a power law in tokens by two groups;
    ``OTHER`` is another file of the first.
    """

    about: str
    command: str
    says: str
    files: Mapping[str, Content] = {}
    code: int = 2


@dataclass(frozen=True)
class Observed:
    """What a command line did: exit code, what it printed, seconds, and what was wrong with that (nothing, it is to be hoped)."""

    code: int
    out: str
    err: str
    seconds: float
    wrong: tuple[str, ...]


def observe(case: Case, folder: Path, fits: Mapping[str, Path]) -> Observed:
    """Run a case in an empty folder; compare with what is expected, and look for tracebacks, changed inputs and files left behind."""
    from bayes_scaling import cli

    folder.mkdir(parents=True, exist_ok=True)
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    words = shlex.split(case.command)
    named = {word: source for word, source in {**fits, "OTHER": fits["FIT"]}.items() if word in words}
    for word, source in named.items():
        shutil.copy(source, folder / f"{word.lower()}.nc")
    words = [f"{word.lower()}.nc" if word in named else word for word in words]
    before = _contents(folder)
    out, err, start = io.StringIO(), io.StringIO(), time.perf_counter()
    wrong = []
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(words)
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        except Exception as error:  # what a user would see as a traceback
            code = 1
            wrong.append(f"traceback: {type(error).__name__}: {error}")
    seconds, after = time.perf_counter() - start, _contents(folder)
    told = err.getvalue() if case.code else out.getvalue() + err.getvalue()
    if code != case.code:
        wrong.append(f"exit code {code}, not {case.code}")
    if case.says not in told:
        wrong.append(f"does not say '{case.says}'")
    if case.code == 2 and err.getvalue().count("\n") != 1:
        wrong.append(f"{err.getvalue().count(chr(10))} lines of error")
    if case.code == 2 and out.getvalue():
        wrong.append("printed a result")
    changed = [name for name, what in before.items() if after.get(name) != what]
    left = sorted(set(after) - set(before))
    if changed:
        wrong.append(f"changed {', '.join(changed)}")
    if case.code and left:
        wrong.append(f"left {', '.join(left)}")
    return Observed(code, out.getvalue(), err.getvalue(), seconds, tuple(wrong))


def _contents(folder: Path) -> dict[str, str]:
    """Return what is in a folder: by path, a hash of a file's content, or of what kind it is otherwise."""
    found = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""
        found[str(path.relative_to(folder))] = f"{stat.S_IFMT(mode)} {content}"
    return found


HEADER = "params,tokens,loss"
_ROWS = [(1e7 * 2**i, 2e8 * 3**i, 3.5 - 0.12 * i) for i in range(10)]


def table(header: str = HEADER, rows: list[str] | None = None) -> str:
    """Return ten runs as CSV, under a header, or other rows."""
    return "\n".join([header, *(rows if rows is not None else [f"{n!r},{d!r},{loss!r}" for n, d, loss in _ROWS])]) + "\n"


def cell(column: str, text: str, header: str = HEADER) -> dict[str, Content]:
    """Return the runs with another text in a cell of line 5."""
    rows = [[repr(value) for value in row] for row in _ROWS]
    rows[3][HEADER.split(",").index(column)] = text
    return {"runs.csv": table(header, [",".join(row) for row in rows])}


def scaled(params: float = 1, tokens: float = 1, loss: float = 1) -> dict[str, Content]:
    """Return the runs in other units."""
    return {"runs.csv": table(rows=[f"{n * params!r},{d * tokens!r},{y * loss!r}" for n, d, y in _ROWS])}


def extra(name: str, values: str, column: str = "") -> dict[str, Content]:
    """Return the runs with a further column, of one value, in place of another where that is named."""
    rows = [f"{n!r},{d!r},{loss!r},{values}" for n, d, loss in _ROWS]
    return {"runs.csv": table(f"{HEADER.replace(column, 'other') if column else HEADER},{name}", rows)}


def rates(*rows: str, header: str = "tokens,error") -> dict[str, Content]:
    return {"runs.csv": "\n".join([header, "1e8,0.5", "1e9,0.4", "1e10,0.3", *rows]) + "\n"}


def counts(*rows: str) -> dict[str, Content]:
    return {"runs.csv": "\n".join(["loss,successes,trials", "3.0,20,100", "2.8,30,100", "2.5,50,100", *rows]) + "\n"}


def many_rows(path: Path) -> None:
    good = "1e8,1e10,2.5\n" * 1000
    with open(path, "w") as file:
        file.write("params,tokens,loss\n")
        for part in range(1000):
            file.write(good if part != 700 else "1e8,1e10,-2.5\n" + good[13:])


def many_columns(last: str) -> str:
    names = [f"column_{i}" for i in range(9_997)]
    return "\n".join([",".join(["params", "tokens", last, *names]), *[",".join(["1e8", "1e10", "2.5", *["1"] * len(names)])] * 3]) + "\n"


def fifo(path: Path) -> None:
    os.mkfifo(path)


def socket_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(path.parent):  # its whole path might be too long
        one.bind(path.name)


def dangling(path: Path) -> None:
    path.symlink_to("gone")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    path.mkdir()


def parquet(**columns: list[Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import pandas

        pandas.DataFrame(columns).to_parquet(path)

    return write


def cut_parquet(path: Path) -> None:
    parquet(params=[1e8] * 50, tokens=[1e10] * 50, loss=[2.5] * 50)(path)
    path.write_bytes(path.read_bytes()[:-20])


def grouped_fit() -> Any:
    """Return a fit of a power law in tokens by two groups."""
    import numpy as np

    import bayes_scaling as bs

    rng, tokens = np.random.default_rng(0), np.geomspace(1e6, 1e10, 12)
    columns = {"tokens": np.tile(tokens, 2), "group": np.repeat(["a", "b"], len(tokens))}
    loss = np.concatenate([level * tokens**-0.1 * np.exp(0.01 * rng.normal(size=len(tokens))) for level in (5.0, 4.0)])
    return bs.fit("power_law", bs.runs_from_columns({**columns, "loss": loss}), input="tokens", grouped=True, draws=300)


FORGED: dict[str, Path] = {}  # the stored fits, for files that are made from them


def forged(raw: str = "", **attributes: Any) -> Callable[[Path], None]:
    """Return the stored fit with other attributes; None takes one away, and ``raw`` becomes the diagnosis, not as JSON."""

    def write(path: Path) -> None:
        import h5py

        shutil.copy(FORGED["FIT"], path)
        with h5py.File(path, "a") as file:
            for name, value in attributes.items():
                del file.attrs[name]
                if value is not None:
                    file.attrs[name] = json.dumps(value)
            if raw:
                file.attrs["diagnosis"] = raw

    return write


def damaged(change: Callable[[Any], None]) -> Callable[[Path], None]:
    """Return the stored fit after a change to its groups of NetCDF."""

    def write(path: Path) -> None:
        import h5py

        shutil.copy(FORGED["FIT"], path)
        with h5py.File(path, "a") as file:
            change(file)

    return write


def without(name: str) -> Callable[[Path], None]:
    return damaged(lambda file: file.__delitem__(name))


def filled(name: str, value: float) -> Callable[[Path], None]:
    return damaged(lambda file: file[name].__setitem__(..., value))


def foreign(path: Path) -> None:
    import xarray

    xarray.Dataset({"x": [1.0]}).to_netcdf(path, engine="h5netcdf")


def cut(path: Path) -> None:
    path.write_bytes(FORGED["FIT"].read_bytes()[:-3000])


def flipped(path: Path) -> None:
    content = bytearray(FORGED["FIT"].read_bytes())
    content[8:200] = bytes(192)
    path.write_bytes(content)


def external(path: Path) -> None:
    """A hostile NetCDF: what should be data is a link to a file outside."""
    import h5py

    with h5py.File(path, "w") as file:
        for name in ("posterior", "sample_stats", "observed_data", "constant_data"):
            file[name] = h5py.ExternalLink("/etc/passwd", "/")
        file.attrs["law"] = '"chinchilla"'


def bomb(path: Path) -> None:
    """A hostile NetCDF of a few kB that claims to hold 800 TB."""
    import h5py

    with h5py.File(path, "w") as file:
        for name in ("posterior", "sample_stats", "observed_data", "constant_data"):
            file.create_group(name)
        file["posterior"].create_dataset("E", (10**7, 10**7), "f8", chunks=(1000, 1000))
        file.attrs["law"] = '"chinchilla"'


def law_file(body: str) -> dict[str, Content]:
    return {"law.py": body, "runs.csv": table()}


def results(content: str) -> dict[str, Content]:
    return {"results/results_1.json": content}


JOB = {"data": '"runs.csv"', "laws": '["chinchilla"]', "[output]": "", "path": '"results"'}


def job(extra: str = "", **changes: str | None) -> dict[str, Content]:
    """Return a job file with other values, None for none; ``extra`` comes at its end."""
    lines = [f"{name} = {value}" if not name.startswith("[") else name for name, value in {**JOB, **changes}.items() if value is not None]
    head = [f"{name} = {value}" for name, value in changes.items() if name not in JOB]
    kept = [line for line in lines if line not in head]
    return {"job.toml": "\n".join([*head, *kept, extra]) + "\n", "runs.csv": table()}


JPEG = struct.pack(">I", 0xFFD8FFE0) + bytes(range(256))
