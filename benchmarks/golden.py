"""Reproducibility: a few fits, and the record of what they gave.

``python benchmarks/golden.py [FIT ...]`` makes them and prints means and standard deviations beside those of the record, and what changed;
``--write`` replaces the record (``tests/reference/golden.json``), ``--json`` prints a new one. Write it when draws were meant to change.

The same seed, data and versions give the same draws on the same kind of CPU, bit for bit. Another CPU, or another version of XLA, makes
other machine code, whose rounding a no-U-turn trajectory amplifies: the posterior is the same, to Monte-Carlo error, and the draws are not.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # as in the tests, which make the same fits

import numpy as np

import bayes_scaling as bs

RECORD = Path(__file__).resolve().parent.parent / "tests" / "reference" / "golden.json"
PACKAGES = ("jax", "jaxlib", "numpyro", "numpy", "scipy")  # what draws depend on
FAR = 5.0  # Monte-Carlo standard errors; of 40 numbers, one is further off once in forty thousand changes that change nothing


def ladder() -> bs.Fit:
    return bs.fit("chinchilla", bs.read_runs("ladder"), seed=0)


def floor() -> bs.Fit:
    """Scatter is written down, not drawn: no generator of random numbers has a part in the data."""
    tokens = np.geomspace(1e7, 1e11, 24)
    loss = (1.7 + 2.1 * (tokens / 1e8) ** -0.31) * np.exp(0.01 * np.sin(np.arange(24.0) ** 2))
    return bs.fit("power_law_floor", bs.runs_from_columns({"tokens": tokens, "loss": loss}), input="tokens", seed=3)


def counts() -> bs.Fit:
    loss, trials = np.linspace(0.5, 1.3, 16), 400.0
    accuracy = 0.26 + 0.7 / (1 + np.exp(9 * (loss - 0.85)))
    solved = np.round(trials * accuracy + 6 * np.sin(np.arange(16.0) ** 2))
    runs = {"task_loss": loss, "successes": solved, "trials": np.full(16, trials)}
    return bs.fit("bounded_metric", bs.runs_from_columns(runs), seed=1)


FITS: dict[str, Callable[[], bs.Fit]] = {"ladder": ladder, "floor": floor, "counts": counts}


def summary(fit: bs.Fit) -> dict[str, Any]:
    """Return the fingerprint of all draws, and mean, standard deviation and their errors by parameter (three numbers each)."""
    digest = hashlib.sha256()
    for name in sorted(map(str, fit.posterior.data_vars)):
        digest.update(name.encode() + np.ascontiguousarray(fit.posterior[name].to_numpy(), dtype=float).tobytes())
    rows = {}
    for name, row in fit.summary().items():
        if row["sd"] > 0:
            rows[name] = {"mean": row["mean"], "sd": row["sd"], "ess": min(row["ess_bulk"], row["ess_tail"])}
    return {"draws": digest.hexdigest(), "parameters": rows}


def here() -> dict[str, Any]:
    """Return what draws depend on: the versions, and the kind of CPU (XLA compiles for its instructions)."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    kind = [platform.machine()]
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines() if ":" in line)
        found = {key.strip(): value.strip() for key, value in lines.items()}
        kind += [found.get("model name", ""), hashlib.sha256(found.get("flags", "").encode()).hexdigest()[:8]]
    except OSError:
        kind.append(platform.processor())
    return {"versions": versions, "cpu": " ".join(filter(None, kind))}


def record(names: Iterable[str] = FITS) -> dict[str, Any]:
    return {**here(), "fits": {name: summary(FITS[name]()) for name in names}}


def off(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, float]:
    """Return how far each mean and standard deviation is off, in Monte-Carlo standard errors of the difference; inf for what is missing."""
    found = dict.fromkeys(old.keys() ^ new.keys(), math.inf)
    for name in old.keys() & new.keys():
        a, b = old[name], new[name]
        found[f"mean of {name}"] = abs(a["mean"] - b["mean"]) / math.hypot(a["sd"] / a["ess"] ** 0.5, b["sd"] / b["ess"] ** 0.5)
        # ln sd errs by sqrt((kurtosis - 1) / 4 n): 1 / sqrt(n) for a kurtosis of 5, which skewed posteriors here come to.
        found[f"sd of {name}"] = abs(math.log(a["sd"] / b["sd"])) / math.hypot(a["ess"] ** -0.5, b["ess"] ** -0.5)
    return found


def verdict(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, str]:
    """Compare a record with what is found now: (``same``, ``changed`` or ``wrong``, what to say of it).

    ``changed``: other draws of the same posterior, as other versions or another CPU give. ``wrong``: another posterior, or other draws
    though versions and CPU are the same.
    """
    upgrades = [
        f"{name} {old['versions'].get(name, 'absent')} -> {version}"
        for name, version in new["versions"].items()
        if old["versions"].get(name) != version
    ]
    since = f"since the record was made: {', '.join(upgrades) or 'no version changed'}"
    since += "" if old["cpu"] == new["cpu"] else f"; on another CPU ({old['cpu']} -> {new['cpu']})"
    far = [
        f"{quantity} in fit '{name}' by {distance:.1f}"
        for name, fit in new["fits"].items()
        for quantity, distance in off(old["fits"][name]["parameters"], fit["parameters"]).items()
        if not distance <= FAR
    ]
    other = [name for name, fit in new["fits"].items() if fit["draws"] != old["fits"][name]["draws"]]
    if far:
        return "wrong", f"the posterior changed, in Monte-Carlo errors: {', '.join(far)}; {since}"
    if not other:
        return "same", since
    said = f"draws of {', '.join(other)} changed, within Monte-Carlo error; {since}"
    return ("changed" if upgrades or old["cpu"] != new["cpu"] else "wrong"), said


def main() -> int:
    """Print the comparison, or the record; return 1 where it is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fits", nargs="*", metavar="FIT", help=f"of {', '.join(FITS)}; all by default")
    parser.add_argument("--json", action="store_true", help="print the record only")
    parser.add_argument("--write", action="store_true", help="replace the record")
    options = parser.parse_args()
    new = record(options.fits or FITS)
    if options.json:
        print(json.dumps(new))
        return 0
    if options.write:
        old = json.loads(RECORD.read_text())["fits"] if RECORD.exists() else {}
        RECORD.write_text(json.dumps({**new, "fits": {**old, **new["fits"]}}, indent=1) + "\n")
        print(f"wrote {RECORD}")
        return 0
    old = json.loads(RECORD.read_text())
    for name, fit in new["fits"].items():
        for parameter, row in fit["parameters"].items():
            before = old["fits"][name]["parameters"].get(parameter, {"mean": math.nan, "sd": math.nan})
            print(f"{name:10}{parameter:16}{before['mean']:>14.8g} +- {before['sd']:<12.6g}{row['mean']:>14.8g} +- {row['sd']:<12.6g}")
    kind, said = verdict(old, new)
    print(f"{kind}: {said}")
    return int(kind == "wrong")


if __name__ == "__main__":
    raise SystemExit(main())
