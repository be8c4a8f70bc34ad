"""Extrapolate the learning curves of a published benchmark, and score the forecasts beside published ones.

    python benchmarks/extrapolation.py SHARED_DATA                     # priors learned on the other half of the curves, twice
    python benchmarks/extrapolation.py SHARED_DATA --priors shipped    # for curves that the package's priors were not learned from
    python benchmarks/extrapolation.py SHARED_DATA --parts seeds,baselines,ablation,uses
    python benchmarks/extrapolation.py SHARED_DATA --write-priors      # learn bayes_scaling/data/curve_priors.json from all curves

No target of a curve shapes its own prior: curves alternate between two folds within each domain, and each fold is forecast with priors
learned from contexts and targets of the other. Curves, splits, metrics and published numbers: Lee et al. 2025 (arXiv 2505.23032).
RMSLE of the median, LL: mean log predictive density, MSCE: mean squared error of the coverage of central intervals; all a curve, then
the plain mean over curves. Coverage of 90 % intervals is pooled over the points of a domain, and the mean over its curves.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import bayes_scaling as bs
from bayes_scaling.extrapolation.curve import LEAST, Scaled
from bayes_scaling.extrapolation.prior import NAMES, CurvePrior, weak_prior
from bayes_scaling.scores import forecasts as forecasts_of
from bayes_scaling.scores import log_predictive

KIND = {
    "IC": "image", "NMT": "translation", "LM": "language", "BB": "few-shot", "DD": "double-descent", "Nano": "width", "ColPret": "training",
}  # fmt: skip
TABLE = {"IC": ("IC",), "NMT+LM+BB+Nano": ("NMT", "LM", "BB", "Nano"), "DD": ("DD",), "ColPret": ("ColPret",)}
#: RMSLE and LL on the whole benchmark (secondary notes on the paper; see data/README.md).
PUBLISHED = {
    "IC": {"NSL-PFN": (0.0280, 3.330), "MCMC(M4)": (0.0422, 3.024), "MCMC(BNSL)": (0.0645, 2.921), "BNSL point": (0.0406, None)},
    "NMT+LM+BB+Nano": {"NSL-PFN": (0.0194, 2.773), "MCMC(M4)": (0.0235, 2.216), "BNSL point": (0.0223, None)},
    "DD": {"NSL-PFN": (0.0335, 2.565), "MCMC(BNSL)": (0.0494, 1.250), "BNSL point": (0.0468, None)},
    "ColPret": {},
}
Formula = Callable[[np.ndarray, Sequence[float], Scaled], np.ndarray]
LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
ASKED = [0.5, *(1 - LEVELS) / 2, *(1 + LEVELS) / 2]


@dataclass(frozen=True)
class Case:
    """A curve's context, and the points to be forecast."""

    domain: str
    context: bs.Curve
    x: np.ndarray
    y: np.ndarray


def read(folder: Path) -> list[Case]:
    rows: dict[tuple[str, str], list[tuple[float, float, bool, bool]]] = {}
    with open(folder / "extrapolation_curves.csv", newline="") as file:
        for row in csv.DictReader(file):
            point = float(row["x"]), float(row["y"]), row["split"] == "context", row["normalise_by_context_max"] == "1"
            rows.setdefault((row["domain"], row["curve"]), []).append(point)
    cases = []
    for (domain, name), points in rows.items():
        x, y, known, normalise = (np.array(part) for part in zip(*points, strict=True))
        y = y / y[known].max() if normalise[0] else y
        order = np.argsort(x[~known], kind="stable")
        cases.append(Case(domain, bs.Curve(x[known], y[known], name), x[~known][order], y[~known][order]))
    return cases


def folds(cases: Sequence[Case]) -> np.ndarray:
    """Return 0 and 1 in turn within each domain."""
    seen: dict[str, int] = {}
    return np.array([seen.update({case.domain: seen.get(case.domain, -1) + 1}) or seen[case.domain] % 2 for case in cases])


def learn(cases: Sequence[Case], **options: Any) -> dict[str, CurvePrior]:
    return bs.learn_priors(
        [case.context for case in cases], [(case.x, case.y) for case in cases], [KIND[case.domain] for case in cases], **options
    )


def cross_fitted(cases: Sequence[Case], **options: Any) -> list[CurvePrior]:
    fold = folds(cases)
    learned = [learn([case for case, of in zip(cases, fold, strict=True) if of != each], **options) for each in (0, 1)]
    return [learned[of].get(KIND[case.domain], learned[of]["generic"]) for case, of in zip(cases, fold, strict=True)]


def score(case: Case, forecast: bs.Forecast) -> dict[str, float]:
    places, back = np.unique(case.x, return_inverse=True)
    found = forecast.predict(places, ASKED)["measured"].values[back]
    return judged(case, found, forecast.log_density(case.x, case.y))


def judged(case: Case, quantiles: np.ndarray, log_density: np.ndarray) -> dict[str, float]:
    """Return a curve's scores from quantiles of each point as `ASKED`, shape (point, quantile), and its log density, shape (point,)."""
    middle, low, high = quantiles[:, 0], quantiles[:, 1 : 1 + len(LEVELS)], quantiles[:, 1 + len(LEVELS) :]
    inside = (case.y[:, None] >= low) & (case.y[:, None] <= high)
    return {
        "rmsle": float(np.sqrt(np.mean((np.log(middle) - np.log(case.y)) ** 2))),
        "bias": float(np.mean(np.log(case.y) - np.log(middle))),
        "sd": float(np.mean(np.log(high[:, 4] / low[:, 4]))) / 3.29,
        "ll": float(np.mean(log_density)),
        "msce": float(np.mean((inside.mean(axis=0) - LEVELS) ** 2)),
        "covered": float(inside[:, 4].mean()),
        "points": len(case.y),
    }


def forecasts(cases: Sequence[Case], priors: Sequence[CurvePrior | str], seed: int = 0) -> tuple[list[bs.Forecast], float]:
    contexts = [case.context for case in cases]
    for one in {context.scaled().size: context for context in contexts}.values():  # compiles
        list(bs.extrapolate_many([one] * 2, priors[0]))
    begun = time.perf_counter()
    found = list(bs.extrapolate_many(contexts, list(priors), seed=seed))
    return found, (time.perf_counter() - begun) / len(cases)


def tell(cases: Sequence[Case], scores: Sequence[dict[str, float]], label: str, published: bool = False) -> None:
    for title, domains in TABLE.items():
        rows = [each for case, each in zip(cases, scores, strict=True) if case.domain in domains]
        if not rows:
            continue
        mean = {name: np.mean([row[name] for row in rows]) for name in rows[0]}
        points = np.array([row["points"] for row in rows])
        pooled = np.sum([row["covered"] * row["points"] for row in rows]) / points.sum()
        covered = f"90 % cover {pooled:.2f} (curves {mean['covered']:.2f})"
        numbers = f"{mean['rmsle']:.4f} / {mean['ll']:.3f}   MSCE {mean['msce']:.4f}   {covered}"
        print(f"{title:16}{label:28}{numbers}", flush=True)
        for name, (rmsle, ll) in PUBLISHED[title].items() if published else ():
            print(f"{'':16}{name + ', published':28}{rmsle:.4f} / " + ("-" if ll is None else f"{ll:.3f}"))


def errors(cases: Sequence[Case], scores: Sequence[dict[str, float]]) -> None:
    """Print the curves that make up half of each domain's RMSLE: how far they went from the median, and how far they were expected to."""
    for title, domains in TABLE.items():
        rows = [(each, case) for case, each in zip(cases, scores, strict=True) if case.domain in domains]
        rows.sort(key=lambda row: -row[0]["rmsle"])
        whole, made = sum(each["rmsle"] for each, _ in rows), 0.0
        if rows:
            print(f"{title}: of {len(rows)} curves, half of the RMSLE is of")
        for each, case in rows:
            if made >= whole / 2:
                break
            made += each["rmsle"]
            points = f"{len(case.context.x)} points, {len(case.y)} to forecast"
            print(
                f"  {case.context.name:37}{points:30}RMSLE {each['rmsle']:.3f}  measured over median {each['bias']:+.3f} (ln), "
                f"sd {each['sd']:.3f}  LL {each['ll']:.2f}"
            )


def main_table(cases: Sequence[Case], priors: Sequence[CurvePrior | str], parts: Sequence[str]) -> None:
    found, seconds = forecasts(cases, priors)
    scores = [score(case, each) for case, each in zip(cases, found, strict=True)]
    tell(cases, scores, "this model", published=True)
    if "errors" in parts:
        errors(cases, scores)
    effective, k = np.array([each.effective for each in found]), np.array([each.pareto_k for each in found])
    print(
        f"{len(cases)} curves, {seconds:.3f} s a curve; trustworthy {np.mean([each.ok for each in found]):.1%}; effective draws: "
        f"median {np.median(effective):.0f}, least {effective.min():.0f}; Pareto k: median {np.median(k):.2f}, most {k.max():.2f}"
    )
    for case, each in zip(cases, found, strict=True):
        if not each.ok:
            print(f"  flagged: {case.context.name}: {each.effective:.0f} effective draws, Pareto k {each.pareto_k:.2f}")


def two_seeds(cases: Sequence[Case], priors: Sequence[CurvePrior | str]) -> None:
    """Print R-hat of two independent runs, over the parameters of each curve, and for the forecast at its last target."""
    runs = [forecasts(cases, priors, seed)[0] for seed in (0, 1)]
    worst, ahead = [], []
    for case, first, second in zip(cases, *runs, strict=True):
        names = ("floor", "noise", "wander", "swing", "memory", "r", "h", "c")
        worst.append(max(_rhat(first.draws[name], second.draws[name]) for name in names))
        quantiles = [each.predict(case.x[-1:], [0.05, 0.5, 0.95])["measured"].values[0] for each in (first, second)]
        ahead.append(np.abs(np.log(quantiles[0] / quantiles[1])).max() / np.log(quantiles[0][2] / quantiles[0][0]))
    both = np.array([a.ok and b.ok for a, b in zip(*runs, strict=True)])
    worst, ahead = np.array(worst), np.array(ahead)
    print(
        f"two seeds: trustworthy in both {both.mean():.1%}; largest R-hat over parameters < 1.01 in {np.mean(worst < 1.01):.1%} of curves "
        f"(most {worst.max():.3f}); 5, 50, 95 % quantiles of the last target differ by at most {np.quantile(ahead, 0.98):.3f} of the "
        f"90 % interval's width in 98 % of curves"
    )


def _rhat(first: np.ndarray, second: np.ndarray) -> float:
    """Rank-normalised split R-hat of two independent samples (Vehtari et al. 2021)."""
    from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]

    return float(np.asarray(array_stats.rhat(np.stack([first, second]))))


def baselines(cases: Sequence[Case]) -> None:
    """Print least squares of ln y: M1 to M4 and one broken law, the best of several starts by the fit to the context."""
    for name, (formula, starts) in LEAST_SQUARES.items():
        begun = time.perf_counter()
        errors = [_least_squares(case, formula, starts) for case in cases]
        for title, domains in TABLE.items():
            rows = [error for case, error in zip(cases, errors, strict=True) if case.domain in domains]
            if rows:
                print(f"{title:16}{name + ', least squares':32}{np.mean(rows):.4f} (median {np.median(rows):.4f})")
        print(f"{'':16}{(time.perf_counter() - begun) / len(cases):.3f} s a curve", flush=True)


def _least_squares(case: Case, formula: Formula, starts: Sequence[Sequence[float]]) -> float:
    from scipy.optimize import least_squares

    scaled = case.context.scaled()
    best = None
    for begin in starts:
        try:
            found = least_squares(lambda p: np.nan_to_num(formula(scaled.u, p, scaled) - scaled.v, nan=1e3), begin, max_nfev=400)
        except ValueError:
            continue
        best = found if best is None or found.cost < best.cost else best
    assert best is not None
    ahead = formula(np.log(case.x) - scaled.last_u, best.x, scaled) + scaled.last_v
    return float(np.sqrt(np.mean((ahead - np.log(case.y)) ** 2)))


def _floor(p: float, scaled: Scaled) -> float:
    return float(np.exp(scaled.v.min()) / (1 + np.exp(-p)))


def _m2(u: np.ndarray, p: Sequence[float], scaled: Scaled) -> np.ndarray:
    floor = _floor(p[2], scaled)
    return np.log(floor + np.exp(p[0] - p[1] * u))


def _m3(u: np.ndarray, p: Sequence[float], scaled: Scaled) -> np.ndarray:
    return p[0] + p[1] * np.logaddexp(-u, p[2])


def _m4(u: np.ndarray, p: Sequence[float], scaled: Scaled) -> np.ndarray:
    floor, alpha = _floor(p[2], scaled), np.exp(p[3])
    most = np.exp(scaled.v.max()) * (1 + np.exp(p[4]))
    low, high = np.full(len(u), floor), np.full(len(u), most)
    for _ in range(60):  # (y - E) / (e0 - y)^alpha rises in y
        middle = (low + high) / 2
        with np.errstate(divide="ignore"):
            below = np.log(middle - floor) - alpha * np.log(most - middle) < p[0] - p[1] * u
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.log((low + high) / 2)


def _bnsl(u: np.ndarray, p: Sequence[float], scaled: Scaled) -> np.ndarray:
    floor, width = _floor(p[2], scaled), np.exp(p[5])
    return np.log(floor + np.exp(p[0] - p[1] * u - p[3] * width * np.logaddexp(0, (u - p[4]) / width)))


LEAST_SQUARES: dict[str, tuple[Formula, list[list[float]]]] = {
    "M1": (lambda u, p, _: p[0] - p[1] * u, [[0.0, 0.2]]),
    "M2": (_m2, [[-0.5, 0.3, w] for w in (-2.0, 0.0, 2.0)]),
    "M3": (_m3, [[0.0, 0.3, g] for g in (-3.0, -1.0, 1.0)]),
    "M4": (_m4, [[-0.5, 0.3, w, a, -1.0] for w in (-1.0, 1.0) for a in (-1.0, 0.5)]),
    "BNSL, one break": (_bnsl, [[-0.5, 0.3, 0.0, d, b, -1.0] for d in (-0.2, 0.3) for b in (-3.0, -1.5, -0.5)]),
}


_ENDS_AT = 2.0  # the loss that each curve is scaled to end at


def one_law(cases: Sequence[Case]) -> None:
    """Print Bayesian fits of a single law by NUTS, taken for the truth beyond the points, as the published baselines take theirs."""
    for name in ("power_law_floor", "m4", "bnsl"):
        begun = time.perf_counter()
        found: dict[int, dict[str, float]] = {}
        converged = []
        for place, fit in bs.fit_many(name, [_as_runs(case, case.context.x, case.context.y) for case in cases], input="tokens", draws=500):
            case = cases[place]
            rest, unit = _as_runs(case, case.x, case.y), case.context.y[-1] / _ENDS_AT
            drawn = forecasts_of(fit, rest, most=2000, drift=0.0) * unit
            density = log_predictive(fit, rest, drift=0.0) - np.log(unit)
            found[place] = judged(case, np.quantile(drawn, ASKED, axis=0).T, density)
            converged.append(fit.diagnosis.converged)
        tell(cases, [found[place] for place in range(len(cases))], f"{name}, NUTS")
        print(f"{'':16}{(time.perf_counter() - begun) / len(cases):.3f} s a curve; {np.mean(converged):.1%} converged", flush=True)


def _as_runs(case: Case, x: np.ndarray, y: np.ndarray) -> bs.Runs:
    """Return a curve as losses against tokens, in units in which the priors of laws of loss are sensible."""
    return bs.runs_from_columns({"tokens": x / case.context.last_x * 1e9, "loss": y / case.context.y[-1] * _ENDS_AT}, case.context.name)


def ablation(cases: Sequence[Case]) -> None:
    """Print what each ingredient buys: priors are learned anew without it, in two folds."""
    weak = weak_prior()

    def without(name: str, value: float) -> CurvePrior:
        mean, sd = weak.mean.copy(), weak.sd.copy()
        mean[:, NAMES.index(name)], sd[:, NAMES.index(name)] = value, 1e-3
        return replace(weak, mean=mean, sd=sd)

    settings = {
        "weak priors": None,
        "no plateau": {"start": replace(weak, weight=np.array([1 - 1e-9, 1e-9])), "fixed": ("weight",)},
        "plateau always": {"start": replace(weak, weight=np.array([1e-9, 1 - 1e-9])), "fixed": ("weight",)},
        "slope does not wander": {"start": without("swing", -12.0), "fixed": ("swing",)},
        "level does not wander": {"start": without("wander", -12.0), "fixed": ("wander",)},
        "noise, wander as before": {"start": _nothing_ahead(weak), "fixed": ("offset", "noise_ahead", "swing_ahead")},
    }
    for label, options in settings.items():
        priors = [weak] * len(cases) if options is None else cross_fitted(cases, **options)
        found, _ = forecasts(cases, priors)
        tell(cases, [score(case, each) for case, each in zip(cases, found, strict=True)], label)


def _nothing_ahead(prior: CurvePrior) -> CurvePrior:
    mean, sd = prior.mean.copy(), prior.sd.copy()
    for name in ("offset", "noise_ahead", "swing_ahead"):
        mean[:, NAMES.index(name)], sd[:, NAMES.index(name)] = 0.0, 1e-3
    return replace(prior, mean=mean, sd=sd)


def uses(folder: Path) -> None:
    """Print forecasts of curves of other kinds: a skill learned at once, failures against samples, longer training, each of its seeds."""

    def table(name: str) -> list[dict[str, str]]:
        with open(folder / name, newline="") as file:
            return list(csv.DictReader(file))

    sums = [(float(row["train_dataset_size"]), float(row["test_loss"])) for row in table("bnsl_4digit_addition.csv")]
    cases = [("sums of 4-digit numbers", sums[:14], sums[14:])]
    losses: dict[str, dict[float, float]] = {}
    for row in table("olmo_ladder_final_metrics.csv"):
        if row["metric"] == "eval/c4_en-validation/CrossEntropyLoss":
            losses.setdefault(row["model"], {})[float(row["tokens"])] = float(row["value"])
    for model, points in losses.items():
        ordered = sorted(points.items())
        if len(ordered) > LEAST:
            cases.append((f"OLMo ladder {model}, longest run", ordered[:-1], ordered[-1:]))
    solved: dict[str, list[tuple[float, float]]] = {}
    for row in table("monkeys_pythia_math_counts_schaeffer2025.csv"):
        solved.setdefault(row["model"], []).append((float(row["n_samples"]), float(row["n_correct"])))
    for model, counts in solved.items():
        trials, successes = np.array(counts).T
        samples = np.unique(np.geomspace(1, 100, 16).round())
        failed = [(k, 1 - float(bs.unbiased_pass_at_k(trials, successes, k).mean())) for k in (*samples, trials.min())]
        cases.append((f"{model}, MATH: failures at {trials.min():g} samples", failed[:-1], failed[-1:]))
    repeated: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in table("muennighoff2023_data_constrained.csv"):
        repeated.setdefault((row["params"], row["unique_tokens"]), []).append((float(row["tokens"]), float(row["val_loss"])))
    for (params, unique), points in repeated.items():
        last = max(tokens for tokens, _ in points)
        seeds, ordered = [point for point in points if point[0] == last], sorted(point for point in points if point[0] < last)
        if len(seeds) > 2 and len({tokens for tokens, _ in ordered}) > LEAST:
            cases.append((f"{float(params):.3g} params on {float(unique):.3g} tokens, repeated", ordered, seeds))
    for name, known, ahead in cases:
        (x, y), (further, came) = (np.array(part).T for part in (known, ahead))
        found = bs.extrapolate(x, y)
        for place, value, quantiles in zip(further, came, found.predict(further, [0.05, 0.5, 0.95])["measured"].values, strict=True):
            low, middle, high = quantiles
            verdict = "inside" if low <= value <= high else "OUTSIDE"
            text = f"{middle:.4g} [{low:.4g}, {high:.4g}], came {value:.4g}: {verdict}"
            print(f"{name:44}x {place / x[-1]:6.3g} times further: {text}" + ("" if found.ok else " (not trustworthy)"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of extrapolation_curves.csv")
    parser.add_argument("--priors", choices=("folds", "shipped"), default="folds")
    parser.add_argument("--parts", default="table,seeds", help="of table, errors (with table), seeds, baselines, ablation, uses")
    parser.add_argument("--write-priors", action="store_true", help="learn the package's priors from all curves")
    parser.add_argument("--domains", default=",".join(KIND), help="of the curves, by comma; priors are learned from these alone")
    options = parser.parse_args()
    cases = [case for case in read(options.data) if case.domain in options.domains.split(",")]
    if options.write_priors:
        learned = learn(cases, note="contexts and targets of 161 curves of Lee et al. 2025 (arXiv 2505.23032)")
        path = Path(__file__).resolve().parent.parent / "bayes_scaling/data/curve_priors.json"
        path.write_text(json.dumps({kind: prior.as_dict() for kind, prior in learned.items()}, indent=1) + "\n")
        print(f"written: {path.name}")
        return
    parts = options.parts.split(",")
    priors: list[CurvePrior | str] = []
    if {"table", "seeds"} & set(parts):
        begun = time.perf_counter()
        priors = list(cross_fitted(cases)) if options.priors == "folds" else [KIND[case.domain] for case in cases]
        print(f"priors: {options.priors}, {time.perf_counter() - begun:.0f} s")
    if "table" in parts:
        main_table(cases, priors, parts)
    if "seeds" in parts:
        two_seeds(cases, priors)
    if "baselines" in parts:
        baselines(cases)
        one_law(cases)
    if "ablation" in parts:
        ablation(cases)
    if "uses" in parts:
        uses(options.data)


if __name__ == "__main__":
    main()
