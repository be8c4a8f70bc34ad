"""Does the rectified law predict fine-tuning on more examples than any seen better than the plain power law? 30 models, 3 data sets.

python benchmarks/finetuning.py SHARED_DATA [--known 102400] [--point | --pool] [--data-set NAME ...] [--groups]

Runs of Lin et al. 2024 (arXiv 2402.02314): test loss after fine-tuning on 200 to 1 638 400 examples. Both laws, rectified
(``finetune_rectified``) and plain with a floor (``power_law_floor`` over examples, with the same prior of the floor, so that only the curve
differs), are fitted to the sizes up to ``--known``, and predict the larger ones. Zero-shot losses are left out, as the authors do. By
default each (data set, model) is fitted by itself, which takes an hour on two cores; with --pool the 30 models of a data set are one fit
with partial pooling of every parameter. --point takes seconds: the mode of each posterior at a scatter of 1 %, without uncertainty.

RMSLE is of the median prediction; the log score is the mean log predictive density of a held-out loss (in nats; higher is better);
coverage is of 90 % intervals. RMSD is of ln loss in fits to all sizes (by their median), beside the authors' point fits.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pooling import log_predictive
from refits.transfer import SFT, SFT_COLUMNS

import bayes_scaling as bs
from bayes_scaling.law import Law, get_law

DATA_SETS = ("flan", "gigaword", "wmt19")
#: Means over models of results/rmsd.csv in the authors' repository (linhaowei1/Fine-tuning-Scaling-Law): rectified, plain. Their plain law
#: is (1 / (B D^beta) + E)^alpha, with one parameter more than ours.
AUTHORS = {"flan": (0.0065, 0.0358), "gigaword": (0.0052, 0.0106), "wmt19": (0.0123, 0.0629)}

POINT_SCATTER = 0.01  # of ln loss, in point fits; what the full fits find


def laws() -> dict[str, Law]:
    """Return both laws, with one prior of the floor."""
    rectified = get_law("finetune_rectified")
    plain = get_law("power_law_floor").with_input("examples")
    floor = rectified.parameter("E")
    return {"rectified": rectified, "plain": replace(plain, parameters=(floor, *(p for p in plain.parameters if p.name != "E")))}


def runs_of(folder: Path, data_set: str) -> bs.Runs:
    runs = bs.read_runs(folder / SFT, map=SFT_COLUMNS, where=f"dataset == '{data_set}' and sft_examples > 0")
    return replace(runs, columns={**runs.columns, "examples": runs["finetune_examples"]})


@dataclass(frozen=True)
class Score:
    """How well the larger sizes of a model were predicted, and how closely its runs of all sizes can be fitted."""

    data_set: str
    model: str
    law: str
    rmsle: float
    log_score: float
    coverage: float
    rmsd: float
    converged: bool


def score(one: bs.Fit, rest: bs.Runs, full: bs.Fit, own: bs.Runs, names: tuple[str, str, str]) -> Score:
    """Score one group: its fit to the known sizes, the runs held out, its fit to all sizes and those."""
    drawn = bs.predict(one, rest.columns)
    low, median, high = np.quantile(drawn["new"], [0.05, 0.5, 0.95], axis=(0, 1))
    measured = rest["loss"]
    curve = np.median(bs.predict(full, own.columns)["expected"], axis=(0, 1))
    return Score(
        *names,
        float(np.sqrt(np.mean(np.log(median / measured) ** 2))),
        float(np.mean(log_predictive(one, rest.columns, measured))),
        float(np.mean((low <= measured) & (measured <= high))),
        float(np.sqrt(np.mean(np.log(curve / own["loss"]) ** 2))),
        converged(one) and converged(full),
    )


def converged(fit: bs.Fit) -> bool:
    return fit.diagnosis.max_rhat < 1.01 and fit.diagnosis.min_ess > 400 and fit.diagnosis.divergences == 0


def scores(folder: Path, data_set: str, known: float, pool: bool) -> list[Score]:
    runs = runs_of(folder, data_set)
    few = runs["finetune_examples"] <= known
    found = []
    for name, law in laws().items():
        together = [bs.fit(law, part, pool={"all": "partial"}) for part in (runs.subset(few), runs)] if pool else []
        for model in runs.groups:
            own, inside = runs.of_group(model), runs.group == model
            one, full = (
                [fit.select(model) for fit in together] if pool else [bs.fit(law, part) for part in (runs.subset(inside & few), own)]
            )
            found.append(score(one, runs.subset(inside & ~few), full, own, (data_set, model, name)))
    return found


def point_scores(folder: Path, data_set: str, known: float) -> list[Score]:
    """Score the modes of the posteriors at a fixed scatter of ln loss: no intervals, so no log score and no coverage."""
    import jax
    import jax.numpy as jnp
    from scipy.optimize import least_squares

    runs = runs_of(folder, data_set)
    found = []
    with jax.enable_x64(True):
        for name, law in laws().items():
            x, names = law.input_names[0], law.parameter_names
            centre, spread = (np.array([float(getattr(p.prior, part)) for p in law.parameters]) for part in ("loc", "scale"))

            def log_curve(z, examples, law=law, x=x, names=names):
                return jnp.log(law.formula({x: examples}, law.complete(dict(zip(names, jnp.exp(z), strict=True)))))

            curve, slope = jax.jit(log_curve), jax.jit(jax.jacfwd(log_curve))

            def fitted(part, curve=curve, slope=slope, centre=centre, spread=spread, x=x):
                examples, log_loss = part[x], np.log(part["loss"])
                ends = [
                    least_squares(
                        lambda z: np.concatenate([(curve(z, examples) - log_loss) / POINT_SCATTER, (z - centre) / spread]),
                        centre + shift * spread,
                        jac=lambda z: np.concatenate(  # pyright: ignore[reportArgumentType]
                            [np.asarray(slope(z, examples)) / POINT_SCATTER, np.diag(1 / spread)]
                        ),
                    )
                    for shift in np.random.default_rng(0).normal(size=(8, len(centre)))
                ]
                return min(ends, key=lambda end: end.cost).x

            for model in runs.groups:
                own = runs.of_group(model)
                few = own["finetune_examples"] <= known
                rest = own.subset(~few)
                missed = curve(fitted(own.subset(few)), rest[x]) - np.log(rest["loss"])
                left = curve(fitted(own), own[x]) - np.log(own["loss"])
                rmsle, rmsd = (float(np.sqrt(np.mean(np.asarray(part) ** 2))) for part in (missed, left))
                found.append(Score(data_set, model, name, rmsle, np.nan, np.nan, rmsd, converged=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--known", type=float, default=102_400, help="largest size that is fitted")
    parser.add_argument("--point", action="store_true", help="modes instead of posteriors")
    parser.add_argument("--pool", action="store_true", help="one fit a data set, with partial pooling over its models")
    parser.add_argument("--data-set", nargs="*", default=list(DATA_SETS), choices=DATA_SETS)
    parser.add_argument("--groups", action="store_true", help="print every model too")
    chosen = parser.parse_args()
    print(
        f"fitted: 200 to {chosen.known:g} examples; predicted: more, up to 1638400; {'pooled' if chosen.pool else 'each model by itself'}"
    )
    print(f"{'data set':10}{'law':11}{'RMSLE':>8}{'log score':>11}{'coverage':>10}{'better':>9}{'RMSD':>9}{'authors':>9}  converged")
    every: list[Score] = []
    for data_set in chosen.data_set:
        if chosen.point:
            found = point_scores(chosen.folder, data_set, chosen.known)
        else:
            found = scores(chosen.folder, data_set, chosen.known, chosen.pool)
        every += found
        if chosen.groups:
            for s in found:
                print(
                    f"{s.data_set:10}{s.law:11}{s.rmsle:>8.4f}{s.log_score:>11.3f}{s.coverage:>10.2f}{'':9}{s.rmsd:>9.4f}{'':9}"
                    f"  {'yes' if s.converged else 'NO '}  {s.model}"
                )
        _print_means(data_set, found, AUTHORS[data_set], flush=True)
    if len(chosen.data_set) > 1:
        _print_means("all", every, None)


def _print_means(title: str, found: list[Score], authors: tuple[float, float] | None, *, flush: bool = False) -> None:
    errors = {law: np.array([s.rmsle for s in found if s.law == law]) for law in ("rectified", "plain")}
    for number, (law, other) in enumerate((("rectified", "plain"), ("plain", "rectified"))):
        own = [s for s in found if s.law == law]
        better = f"{np.sum(errors[law] < errors[other])}/{len(own)}"
        theirs = "" if authors is None else f"{authors[number]:.4f}"
        print(
            f"{title:10}{law:11}{errors[law].mean():>8.4f}{np.mean([s.log_score for s in own]):>11.3f}"
            f"{np.mean([s.coverage for s in own]):>10.2f}{better:>9}{np.mean([s.rmsd for s in own]):>9.4f}{theirs:>9}"
            f"  {sum(s.converged for s in own)}/{len(own)}",
            flush=flush,
        )


if __name__ == "__main__":
    main()
