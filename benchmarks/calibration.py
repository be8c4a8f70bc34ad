"""Simulation-based calibration of every law: ranks of the truth among posterior draws, of parameters and of what is decided from them.

    python benchmarks/calibration.py [--law NAME ...] [--fits N] [--kept FOLDER] [--figure FILE] [--each FOLDER]

All laws and variants by default, which takes hours; but every 20 fits are kept in a folder (out/calibration), so that the same command
goes on, more --fits add to those that are there, and several processes may share the laws. Prints one table: a law that is right shows so
large a departure in any quantity (Bonferroni over its own) with the probability in the table, and the smallest of so many laws with the
probability below it. --figure draws all laws on one page, --each the ranks of each with their bands.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import xarray

import bayes_scaling as bs
from bayes_scaling.calibration import Calibration
from bayes_scaling.law import Law
from bayes_scaling.rank_plot import save_ranks

BLOCK = 20  # fits that are simulated, and kept, together


def every_law() -> list[str]:
    """Return the names of laws and variants."""
    laws = [bs.get_law(name) for name in bs.law_names()]
    return [one.name for law in laws for one in (law, *law.variants.values())]


def calibration(name: str, fits: int, kept: Path) -> Calibration:
    """Return the ranks of a law over so many fits; blocks that are kept are not made again."""
    law = bs.get_law(name)
    blocks = [_block(law, number, kept / f"{name.replace(':', '_')}_{number}.json") for number in range(-(-fits // BLOCK))]
    ranks = xarray.concat([block.ranks for block in blocks], "fit", combine_attrs="drop_conflicts")
    ranks.attrs["refused"] = sum(block.ranks.attrs["refused"] for block in blocks)
    return Calibration(blocks[0].law, blocks[0].noise, ranks)


def _block(law: Law, number: int, path: Path) -> Calibration:
    if not path.exists():
        start = time.perf_counter()
        # Under one seed for all, laws of as many parameters would have the same truths and ranks, and err together.
        seed = (zlib.crc32(law.name.encode()) + 1000 * number) % 2**31
        found = bs.calibrate(law, fits=BLOCK, seed=seed, input=law.input_names[0] if law.alternatives else None)
        record = {"law": found.law, "noise": found.noise, "seconds": time.perf_counter() - start, "ranks": found.ranks.to_dict()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".part").write_text(json.dumps(record))
        path.with_suffix(".part").replace(path)
    record = json.loads(path.read_text())
    return Calibration(record["law"], record["noise"], xarray.Dataset.from_dict(record["ranks"]))


def row(found: Calibration) -> str:
    """Return a law's line of the table."""
    start = f"{found.law:28}{found.noise:16}{found.ranks.sizes['fit']:>5}{found.converged:>10}"
    if not found.enough:
        return f"{start}   too few converged"
    name, least = min(found.levels.items(), key=lambda item: item[1].probability)
    outside = ", ".join(f"{name} ({item.shape})" for name, item in found.levels.items() if not item.inside)
    return f"{start}{len(found.levels):>6}{found.probability:>10.3f}   {least.probability:.3f} {name:30} {outside}".rstrip()


def verdict(every: list[Calibration]) -> Iterator[str]:
    """Yield what all laws together say: how many quantities leave their band, and whether the least probable law is one of so many."""
    told = [found for found in every if found.enough]
    if not told:
        return
    levels = [item for found in told for item in found.levels.values()]
    yield f"{sum(not item.inside for item in levels)} of {len(levels)} quantities leave the band that holds uniform ranks in 95 %"
    least = min(told, key=lambda found: found.probability)
    chance = -np.expm1(len(told) * np.log1p(-least.probability)) if least.probability < 1 else 1.0
    yield f"least probable of {len(told)} laws: {least.law} ({least.probability:.3f}; of one as improbable by chance: {chance:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--law", action="append", default=[], metavar="NAME")
    parser.add_argument("--fits", type=int, default=100, metavar="N")
    parser.add_argument("--kept", type=Path, default=Path("out/calibration"), metavar="FOLDER")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    parser.add_argument("--each", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    print(
        f"{'law':28}{'noise':16}{'fits':>5}{'converged':>10}{'quant.':>6}{'p':>10}   least p of a quantity{'':14} outside its band",
        flush=True,
    )
    every = []
    for name in options.law or every_law():
        try:
            found = calibration(name, options.fits, options.kept)
        except bs.InputError as error:
            print(f"{name:28}{error}", flush=True)
            continue
        jax.clear_caches()  # of compiled programs that no other law runs
        every.append(found)
        print(row(found), flush=True)
        if options.each and found.enough:
            options.each.mkdir(parents=True, exist_ok=True)
            save_ranks(found, options.each / f"{name.replace(':', '_')}.png")
    print("\n".join(verdict(every)))
    told = [found for found in every if found.enough]
    if options.figure and told:
        save_ranks(told, options.figure)


if __name__ == "__main__":
    main()
