"""Damaged files, by chance: what the readers make of them.

python benchmarks/fuzz.py [--seconds S] [--first SEED] [KIND ...]

Kinds: ``parquet`` (tables), ``netcdf`` (fits whose checksum was made right again, or is absent, so that the HDF5 library sees the damage),
``sealed`` (fits with the checksum that they had), ``csv`` and ``json`` (results of the evaluation harness). A file is damaged by its
number alone, in a few places: bits, bytes, lengths, pieces cut out, doubled or exchanged. A process of its own reads them, within a limit
of memory, so that a crash of a library costs one file. A row a kind: how many were read as if nothing were wrong, refused with an error of
ours, refused for want of memory; and what must not be: other exceptions, crashes of the process, and files that take more than ten
seconds. Numbers of these are printed: ``--first N --seconds 0`` does one again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import bayes_scaling as bs
from bayes_scaling.foreign import open_table

PATIENCE = 10.0  # seconds for a file
MEMORY = 6 << 30  # bytes of address space
BAD = ("another exception", "crash", "hang")
LENGTHS = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\x01\x00\x00\x00")


def damaged(content: bytes, number: int) -> bytes:
    """Return content with damage that its number decides."""
    dice = random.Random(number)
    found = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 4))):
        # What says how a file is laid out stands at its ends.
        near = dice.random()
        span = min(len(found), 1200)
        at = dice.randrange(len(found)) if near < 0.4 else dice.randrange(span) if near < 0.6 else len(found) - 1 - dice.randrange(span)
        length = dice.randrange(1, 40)
        match dice.randrange(7):
            case 0:
                found[at] ^= 1 << dice.randrange(8)
            case 1:
                found[at] = dice.randrange(256)
            case 2:
                what = dice.choice(LENGTHS)
                found[at : at + len(what)] = what
            case 3:
                del found[at : at + length]
            case 4:
                found[at:at] = found[at : at + length]
            case 5:
                other = dice.randrange(len(found))
                found[at : at + length] = found[other : other + length]
            case _:
                if dice.random() < 0.3:
                    del found[at:]
                else:
                    found[at] = (found[at] + dice.choice((1, -1))) % 256
        if not found:
            return b"\0"
    return bytes(found)


def _columns() -> dict[str, Any]:
    params, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e8, 1e11, 5)))
    loss = 1.7 + 480 * params**-0.35 + 2000 * tokens**-0.37
    return {"params": params, "tokens": tokens, "loss": loss}


def tables(folder: Path) -> list[bytes]:
    """Parquet: plain and packed, numbers, text, dates, gaps and lists."""
    import pandas

    frame = pandas.DataFrame(_columns())
    rich = frame.assign(
        name=[f"run {i}" for i in range(len(frame))], kind=pandas.Categorical(["a", "b"] * 12 + ["a"]), gap=[1.5, None] * 12 + [2.0],
        day=pandas.date_range("2024-01-01", periods=len(frame)), steps=frame["params"].astype("int64"), sound=True,
        parts=[[1, 2]] * len(frame),
    )  # fmt: skip
    found: list[bytes] = []
    kinds: list[tuple[Any, Any]] = [(frame, None), (frame, "snappy"), (rich, "zstd"), (rich, None)]
    for i, (each, packing) in enumerate(kinds):
        each.to_parquet(folder / f"{i}.parquet", compression=packing)
        found.append((folder / f"{i}.parquet").read_bytes())
    return found


def fits(folder: Path) -> list[bytes]:
    columns = {"tokens": _columns()["tokens"], "loss": _columns()["loss"]}
    bs.fit("power_law", bs.runs_from_columns(columns), input="tokens", draws=20, warmup=200).save(folder / "fit.nc")
    return [(folder / "fit.nc").read_bytes()]


def texts(folder: Path) -> list[bytes]:
    rows = ["name,params,tokens,loss", *(f'"run, {i}",{a!r},{b!r},{c!r}' for i, (a, b, c) in enumerate(zip(*(values.tolist()
            for values in _columns().values()), strict=True)))]  # fmt: skip
    text = "\n".join(rows) + "\n"
    return [text.encode(), "﻿".encode() + text.replace("\n", "\r\n").encode()]


def results(folder: Path) -> list[bytes]:
    """One file of lm-evaluation-harness results."""
    found = {
        "results": {task: {"acc,none": 0.31, "acc_stderr,none": 0.01, "alias": task} for task in ("arc_easy", "piqa")},
        "n-samples": {task: {"original": 2376, "effective": 2376} for task in ("arc_easy", "piqa")},
        "config": {"model": "hf", "model_args": "pretrained=EleutherAI/pythia-70m", "model_num_parameters": 70426624},
        "model_name": "EleutherAI/pythia-70m", "date": 1.7e9,
    }  # fmt: skip
    return [json.dumps(found, indent=1).encode()]


def resealed(content: bytes, number: int) -> bytes:
    from bayes_scaling.storage import _seal, _unsealed  # pyright: ignore[reportPrivateUsage]

    broken = damaged(_unsealed(content, ""), number)
    return broken + (_seal(broken) if number % 2 else b"")


Kind = tuple[Callable[[Path], list[bytes]], Callable[[bytes, int], bytes], str, Callable[[Path], object]]
KINDS: dict[str, Kind] = {
    "parquet": (tables, damaged, "runs.parquet", bs.read_runs),
    "netcdf": (fits, resealed, "fit.nc", bs.load_fit),
    "sealed": (fits, damaged, "fit.nc", bs.load_fit),
    "csv": (texts, damaged, "runs.csv", bs.read_runs),
    "json": (results, damaged, "results_2024.json", open_table),
}


def fate(path: Path, read: Callable[[Path], object]) -> str:
    """Return what becomes of a file."""
    try:
        read(path)
    except bs.BayesScalingError as error:
        return "refused" if "\n" not in str(error).strip() else f"another exception: of several lines: {error!r}"
    except MemoryError:
        return "no memory"
    except Exception as error:
        return f"another exception: {error!r}"
    return "read"


def child(kind: str, folder: Path, first: int, last: int) -> None:
    """Read damaged files one after another; before each, say which."""
    _, harm, name, read = KINDS[kind]
    sound = [path.read_bytes() for path in sorted(folder.glob("sound*"))]
    (folder / "read").mkdir(exist_ok=True)
    path = folder / "read" / name
    path.write_bytes(sound[0])
    print("sound", fate(path, read), sep="\t", flush=True)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(first, last):
        path.write_bytes(harm(sound[number % len(sound)], number))
        print("begin", number, sep="\t", flush=True)
        print("end", fate(path, read).replace("\n", " ").replace("\t", " "), sep="\t", flush=True)


def attacked(kind: str, seconds: float, first: int) -> tuple[Counter[str], list[str]]:
    """Return how many files came to what, and a line about each that is bad."""
    counts: Counter[str] = Counter()
    bad: list[str] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for i, content in enumerate(KINDS[kind][0](folder)):
            (folder / f"sound{i}").write_bytes(content)
        start, number = time.monotonic(), first
        while number == first or time.monotonic() - start < seconds:
            last = number + 1 if seconds == 0 else 10**9
            process = subprocess.Popen(
                [sys.executable, __file__, "--child", str(folder), "--first", str(number), "--last", str(last), kind],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            )  # fmt: skip
            number = _watched(process, start + seconds, number, counts, bad)
    return counts, bad


def _watched(process: subprocess.Popen[bytes], until: float, number: int, counts: Counter[str], bad: list[str]) -> int:
    """Follow a process until it ends, or the time is over; return the number to go on with."""
    import select

    assert process.stdout is not None
    buffer, begun, patience = b"", number - 1, 120.0  # to start
    try:
        while True:
            if not select.select([process.stdout], [], [], patience)[0]:
                counts["hang"] += 1
                bad.append(f"{begun}: more than {patience:g} s")
                return begun + 1
            block = os.read(process.stdout.fileno(), 65536)
            if not block:
                code = process.wait()
                if code != 0:
                    counts["crash"] += 1
                    bad.append(f"{begun}: exit code {code}")
                return begun + 1
            *lines, buffer = (buffer + block).split(b"\n")
            for line in lines:
                word, _, what = line.decode(errors="replace").partition("\t")
                patience = PATIENCE
                if word == "sound" and what != "read":
                    raise SystemExit(f"the sound file is not read: {what}")
                if word == "begin":
                    begun = int(what)
                elif word == "end":
                    kind = what.partition(":")[0]
                    counts[kind] += 1
                    if kind in BAD:
                        bad.append(f"{begun}: {what[:300]}")
            if until < time.monotonic() and counts.total():
                return begun + 1
    finally:
        process.kill()
        process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if there is anything that must not be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all by default")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="for each kind")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--last", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        child(options.kinds[0], options.child, options.first, options.last)
        return 0
    columns = ("read", "refused", "no memory", *BAD)
    print(f"{'kind':10}{'files':>8}" + "".join(f"{name:>20}" for name in columns))
    wrong = 0
    for kind in options.kinds or KINDS:
        counts, bad = attacked(kind, options.seconds, options.first)
        print(f"{kind:10}{counts.total():>8}" + "".join(f"{counts[name]:>20}" for name in columns), *bad[:20], sep="\n    ", flush=True)
        wrong += len(bad)
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
