"""Repeated sampling: seven Pythia models on 128 problems of MATH, 10 000 samples each (released with Schaeffer et al. 2025)."""

from dataclasses import replace
from pathlib import Path

import numpy as np

import bayes_scaling as bs
from refits import Compare, Refit

COUNTS = "monkeys_pythia_math_counts_schaeffer2025.csv"
CURVES = "monkeys_pythia_math_coverage_schaeffer2025.csv"
#: Non-embedding params of the models, as their makers count them (Biderman et al. 2023, arXiv 2304.01373): what a token's compute follows.
PARAMS = {
    "Pythia 70M": 18_915_328,
    "Pythia 160M": 85_056_000,
    "Pythia 410M": 302_311_424,
    "Pythia 1B": 805_736_448,
    "Pythia 2.8B": 2_517_652_480,
    "Pythia 6.9B": 6_444_163_072,
    "Pythia 12B": 11_327_027_200,
}
MODELS = tuple(PARAMS)
BY_MODEL = {"group": "model"}
LIKELIHOOD = "maximum likelihood on the same counts; 1.5 posterior standard deviations"
LEAST_SQUARES = "least squares of ln(-ln coverage) on ln k, computed from the same curve; robust noise on the logit weighs points otherwise"
SAME_SAMPLES = (
    "101 points of one curve come from the same samples: residuals are smooth, and the interval, as if they were independent, is too "
    "narrow: it says how well the form fits"
)


def with_params(folder: Path) -> bs.Runs:
    """Counts of all models, with the model's params."""
    runs = bs.read_runs(folder / COUNTS, map=BY_MODEL)
    assert runs.group is not None  # the map names the column
    params = np.array([float(PARAMS[label]) for label in runs.group])
    return replace(runs, columns={**runs.columns, "params": params}, notes=(*runs.notes, "params: non-embedding params of the model"))


def _of_model(name, mean, alpha, spread):
    return Refit(
        law="pass_at_k",
        data=COUNTS,
        label=name,
        read={"where": f"model == '{name}'"},
        compare=(
            Compare("mean", mean, 1.5 * spread[0], LIKELIHOOD),
            Compare("alpha", alpha, 1.5 * spread[1], LIKELIHOOD),
        ),
        given={"target": 0.9},
        note="128 problems of 10 000 samples each",
    )


def _curve(name, a, b):
    return Refit(
        law="coverage",
        data=CURVES,
        label=name,
        read={"where": f"model == '{name}'"},
        compare=(Compare("b", b, 0.02, LEAST_SQUARES), Compare("a", a, 0.4, LEAST_SQUARES)),
        given={"target": 0.9},
        note=SAME_SAMPLES,
    )


REFITS = [
    _of_model("Pythia 12B", 0.02334, 0.2955, (0.0039, 0.031)),
    Refit(
        law="pass_at_k",
        data=COUNTS,
        label="by model",
        read={"map": BY_MODEL},
        options={"pool": {"mean": "free", "alpha": "partial"}},
        compare=tuple(
            Compare(f"alpha[{name}]", alpha, 0.04, "maximum likelihood on each model's counts alone")
            for name, alpha in zip(MODELS, (0.0650, 0.1755, 0.1804, 0.2156, 0.2460, 0.2698, 0.2955), strict=True)
        ),
        note="all seven models, tails pooled in part; the problems are the same for all, which the fit takes for independent draws",
    ),
    Refit(
        law="pass_at_k:size",
        data=COUNTS,
        prepare=with_params,
        compare=(
            Compare("mean_ref", 0.008992, 0.002, LIKELIHOOD),
            Compare("mean_slope", 0.4946, 0.08, LIKELIHOOD),
            Compare("alpha_ref", 0.2032, 0.02, LIKELIHOOD),
            Compare("alpha_exponent", 0.1758, 0.05, LIKELIHOOD),
        ),
        given={"target": 0.8},
        note="13 nats below a fit of each model alone, with ten parameters less: the 70M model lies below the line (mean pass@1 0.0006, on "
        "the line 0.0013), the 2.8B model above it; the problems are the same for all sizes, which the fit takes for independent draws",
    ),
    _curve("Pythia 70M", -8.026, -0.1943),
    _curve("Pythia 160M", -6.592, -0.2797),
    _curve("Pythia 410M", -5.524, -0.2863),
    _curve("Pythia 1B", -5.452, -0.3146),
    _curve("Pythia 2.8B", -4.104, -0.3355),
    _curve("Pythia 6.9B", -4.255, -0.3484),
    _curve("Pythia 12B", -4.113, -0.3702),
]
