"""Which law forecasts larger runs best? Real runs, fitted up to a cut-off in compute; all beyond it are forecast.

Several laws on the runs of seven studies, then laws of other inputs on data of their own, by compute or the column they are named with.

    python benchmarks/forward.py SHARED_DATA [STUDY ...] [--drift SIZE] [--without LAW ...]

Prints a table for each data set (log score: mean log predictive density of a held-out run, in nats, higher is better; RMSLE and CRPS in ln
loss; share of 90 % intervals that hold the run), then the coverage of all: of the laws whose fits said themselves that they were to be
trusted and that nothing had warned against (patterns in what they leave of their runs, earlier forecasts), and of the others; and of single
laws in each study, first of all that are to be trusted, then of those that nothing had warned against. Laws may drift beyond their runs by
as much as earlier forecasts show (`bayes_scaling.drift`), or with --drift 0 are taken for the truth. What is known of drifts before any
forecast was chosen with ladder, gadre2024 (C4 and RedPajama), li2025 and chinchilla in view, and not the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from refits import Refit, all_refits
from refits.optimal import gadre_runs, li_runs

import bayes_scaling as bs
from bayes_scaling.forward import AVERAGE

SIZE_AND_DATA: dict[str, Any] = {name: name for name in ("chinchilla", "kaplan_nd")}
IN_COMPUTE: dict[str, Any] = {
    "power_law in C": {"law": "power_law", "input": "compute"},
    "power_law_floor in C": {"law": "power_law_floor", "input": "compute"},
    "bnsl in C": {"law": "bnsl", "input": "compute", "draws": 500},
}


def _repeated(folder: Path) -> bs.Runs:
    return bs.read_runs(folder / "muennighoff2023_data_constrained.csv", where="used_in_repo_fit == 1")


#: Re-fits of laws to data of their own, by their names, and the column that cut-offs are in.
OWN = {
    "chinchilla-olmo_ladder_final_metrics": "compute",
    **{f"gordon-gordon2021_nmt-{pair}": "data_bytes" for pair in ("de-en", "ru-en", "zh-en")},
    "isoflop-porian2024_isoflop-tuned": "compute",
    "frontier-porian2024_optima": "compute",
    **{f"moe_routed-clark2022_routed_final-{routing}": "params" for routing in ("S-Base", "RL-R", "Hash")},
    "precision:multipliers-precision_qat_quest2025-quest": "tokens",
    "vocabulary-tao2024_vocab": "compute",
    "test_time_log_linear:test-o1mini_aime_testtime_zhang2024-no ceiling": "test_tokens",
}
REFITS = {refit.name: refit for refit in all_refits()}


def _as_users_would(refit: Refit) -> dict[str, Any]:
    """Return a law as it is fitted without knowing the paper: with its own noise, but what is held stays held."""
    return {refit.law: {"law": refit.law, **{name: value for name, value in refit.options.items() if name != "noise"}}}


#: Runs by name, and the laws that forecast them.
STUDIES: dict[str, tuple[Callable[[Path], bs.Runs], Mapping[str, Any]]] = {
    "ladder": (lambda _: bs.read_runs("ladder"), {**SIZE_AND_DATA, **IN_COMPUTE}),
    "gadre2024": (
        lambda folder: gadre_runs(folder, "c4_original", least=20),
        {**SIZE_AND_DATA, "overtraining": "overtraining", **IN_COMPUTE},
    ),
    "li2025_misfitting": (lambda folder: li_runs(folder, "params"), {**SIZE_AND_DATA, **IN_COMPUTE}),
    "muennighoff2023": (_repeated, {**SIZE_AND_DATA, "data_constrained": "data_constrained", **IN_COMPUTE}),
    "chinchilla": (lambda folder: bs.read_runs(folder / "chinchilla_epoch.csv"), {**SIZE_AND_DATA, **IN_COMPUTE}),
    "gadre2024, RedPajama": (lambda folder: gadre_runs(folder, "rpj", least=20), {**SIZE_AND_DATA, **IN_COMPUTE}),
    "gadre2024, RefinedWeb": (lambda folder: gadre_runs(folder, "rw_original", least=20), {**SIZE_AND_DATA, **IN_COMPUTE}),
    **{name: (REFITS[name].runs, _as_users_would(REFITS[name])) for name in OWN},
}


def main(folder: Path, names: list[str], drift: float | None, without: list[str]) -> None:
    of_study: dict[str, tuple[list[float], list[float]]] = {}
    covered: dict[str, list[float]] = {"trusted": [], "warned": [], "not trusted": []}
    for name in names:
        read, laws = STUDIES[name]
        runs, laws = read(folder), {law: how for law, how in laws.items() if law not in without}
        found = bs.forward_validation(laws, runs, by=OWN.get(name, "compute"), drift=drift)
        print(f"\n{name}, {len(runs)} runs\n{found}", flush=True)
        for law in found.laws:
            for split in range(found.scores.sizes["split"]):
                one = found.scores.sel(law=law).isel(split=split)
                kind = "not trusted" if not one["trusted"] else "warned" if one["warned"] else "trusted"
                values = one["covered"].values
                covered[kind] += values[np.isfinite(values)].tolist()
                if law != AVERAGE and one["trusted"]:
                    trusted, not_warned = of_study.setdefault(name, ([], []))
                    trusted.extend(values[np.isfinite(values)].tolist())
                    not_warned.extend(values[np.isfinite(values) & (kind == "trusted")].tolist())
    print("\nshare of 90 % intervals that hold the run, over all forecasts; then of single laws whose fits are to be trusted, by study,")
    print("and of those of them that nothing had warned against")
    for kind, values in covered.items():
        if values:
            print(f"  {kind:12} {np.mean(values):.2f} of {len(values)}")
    width = max(map(len, of_study), default=0)
    for name, parts in of_study.items():
        print(f"  {name:{width}}", *(f"{np.mean(part):.2f} of {len(part):<6}" for part in parts if part))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("studies", nargs="*")
    parser.add_argument("--drift", type=float)
    parser.add_argument("--without", nargs="+", default=[])
    given = parser.parse_args()
    main(given.folder, given.studies or list(STUDIES), given.drift, given.without)
