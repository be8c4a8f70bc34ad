"""Test-time compute: o1-mini on the 30 problems of AIME 2024 (Zhang & Chen 2024, a reconstruction of OpenAI's figure)."""

from pathlib import Path

import bayes_scaling as bs
from refits import Refit

RUNS = "o1mini_aime_testtime_zhang2024.csv"
# Tied votes share the credit in the authors' script, which makes 0.675 of 30 problems 20.25: it counts as 20 here, and 21 in its place
# would move the slope by 0.01, a seventh of its standard deviation. A vote of two, ties shared, is on average as good as one answer:
# that row (22034 tokens) is flat for this reason alone, and leaving it out raises the slope by a quarter of that deviation.
WHAT = (
    "eight amounts of thought asked for in the prompt, then votes of 2, 4 and 8 answers; single answers, which the votes' table repeats, "
    "count once. Every row is of the same 30 problems, and votes reuse answers of smaller votes: residuals are correlated. Their variance "
    "is half of binomial (chi2 4.5 for 9; by chance one time in eight), as if half of it lay between problems: then slopes are known "
    "better than stated, and the level on other problems of the kind is off by a further 0.06 that no row here shows"
)


def _once(folder: Path) -> bs.Runs:
    return bs.read_runs(
        folder / RUNS,
        map={"test_tokens": "avg_tokens_used_per_problem"},
        where="method == 'single_sample' or token_limit_requested > 2048",
    )


def _refit(label, fix, trusted, note):
    # Floor: answers are integers from 0 to 999, and guessing gets nothing.
    options = {"fix": {"floor": 0.0, **fix}, "noise": "binomial"}
    return Refit(
        law="test_time_log_linear:test",
        data=RUNS,
        label=label,
        prepare=_once,
        options=options,
        given={"target": 0.6},
        trusted=trusted,
        note=f"{note}; {WHAT}",
    )


REFITS = [
    _refit(
        "no ceiling",
        {"ceiling": 1.0},
        True,
        "accuracy is log-linear over the runs, as the authors say: 0.06 per doubling of tokens, with no sign of an end",
    ),
    _refit(
        "ceiling inferred",
        {},
        False,
        "the 11 points do not know their ceiling: best likelihoods under ceilings from 0.65 to 1 differ by less than half a nat, and its "
        "posterior is the prior's. The authors' levelling off near 0.70 is of runs beyond 1.3e5 tokens, which their published files, "
        "ending at 8.8e4, do not hold; it is neither shown nor contradicted here",
    ),
]
