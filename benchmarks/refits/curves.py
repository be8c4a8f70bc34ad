"""Curves of one variable: sums of 4-digit numbers (Caballero et al. 2022), translation, text and images (Alabdulmohsin et al. 2022).

The curves of Alabdulmohsin et al. 2022 are published with errors of extrapolation, not with parameters. The values to compare with are
those of least squares in ln y (in logit y for M4) on the same points, whose extrapolation errors are the published ones where those
converged (tests/reference/test_curves.py computes them). The points of a curve come from one training run or few: their residuals are
correlated, and the intervals are of the curve, not of what another run would give.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bayes_scaling as bs
from refits import Compare, Refit

FILE = "extrapolation_curves.csv"
LEAST_SQUARES = "least squares in ln y on the same points"


def curve(name: str, output: str = "loss", x: str = "examples") -> Callable[[Path], bs.Runs]:
    """Return what reads the points of a curve that the published fits were made on."""

    def read(folder: Path) -> bs.Runs:
        where = f'curve == "{name}" and split == "context"'
        return bs.read_runs(folder / FILE, map={x: "x", output: "y"}, where=where)

    return read


REFITS = [
    Refit(
        law="bnsl",
        data="bnsl_4digit_addition.csv",
        read={"map": {"examples": "train_dataset_size", "loss": "test_loss"}, "where": "split == 'train'"},
        options={"noise": "normal-log"},  # a smooth curve: under Student-t the few points past the break would pass for outliers
        compare=(
            Compare("d1", 612.58, 12.0, "Caballero et al. 2022, code"),
            Compare("c0", 0.0551, 0.006, "Caballero et al. 2022, code"),
            Compare("c1", 5.6629, 1.0, "Caballero et al. 2022, code"),
            Compare("f1", 0.05919, 0.004, "Caballero et al. 2022, code"),
            Compare("a", 0.41388, 0.1, "Caballero et al. 2022, code"),
        ),
        given={"target": 0.6},
    ),
    Refit(
        law="power_law",
        data=FILE,
        prepare=curve("NMT/log_perplexity/6 Enc, 6 Dec"),
        options={"noise": "normal-log"},
        compare=(Compare("c", 0.16314, 0.006, LEAST_SQUARES),),
        given={"target": 0.3},
    ),
    Refit(
        law="power_law:error",
        data=FILE,
        prepare=curve("BB/('mult', '1-shot')/262M", "error", x="tokens"),
        options={"noise": "normal-log"},
        compare=(Compare("c", 0.0434, 0.003, LEAST_SQUARES),),
        given={"target": 0.75},
        note="BIG-Bench, mult_data_wrangling, 1 shot, a 262M model in training: points are running minima of one run",
    ),
    Refit(
        law="power_law_floor",
        data=FILE,
        prepare=curve("LM/val_loss/4.53e+08"),
        compare=(Compare("E", 0.8292, 0.01, LEAST_SQUARES), Compare("c", 0.3825, 0.04, LEAST_SQUARES)),
        given={"target": 0.85},
    ),
    Refit(
        law="saturating_power_law",
        data=FILE,
        prepare=curve("NMT/log_perplexity/6 Enc, 6 Dec"),
        compare=(Compare("c", 0.2686, 0.02, LEAST_SQUARES),),
        given={"target": 0.4},
    ),
    Refit(
        law="m4:error",
        data=FILE,
        prepare=curve("IC/inet_10/MiX/B/16", "error"),
        options={"draws": 2000},
        compare=(Compare("c", 0.608, 0.05, LEAST_SQUARES), Compare("E", 0.311, 0.03, LEAST_SQUARES)),
        given={"target": 0.35},
    ),
]
