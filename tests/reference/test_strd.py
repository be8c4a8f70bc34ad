"""NIST's reference data sets for nonlinear regression, as laws of a user's own: the certified digits, from both starts."""

import math

import jax
import numpy as np
import pytest
from strd import PROBLEMS, agreeing

import bayes_scaling as bs

DIGITS = 9.5  # of the eleven that are certified; the likelihood's own arithmetic has sixteen
QUICK = ("BoxBOD", "Rat42")  # of the higher level


@pytest.mark.parametrize("name", PROBLEMS)
def test_data_and_certified_values_belong_together(name):
    """The sum of squares at the certified parameters is the certified one: no number was miscopied."""
    item = PROBLEMS[name]
    y, x = item.table
    with jax.enable_x64(True):
        residuals = y - np.asarray(item.formula(x, *item.certified))
    assert agreeing(np.sum(residuals**2), item.sum_of_squares) > DIGITS
    assert agreeing(math.sqrt(np.sum(residuals**2) / (len(y) - len(item.certified))), item.residual_sd) > DIGITS


@pytest.mark.parametrize(
    ("name", "start"),
    [pytest.param(name, start, marks=() if name in QUICK and start == 0 else pytest.mark.long) for name in PROBLEMS for start in (0, 1)],
)
def test_mode_is_the_certified_one(name, start):
    assert min(PROBLEMS[name].digits(start).values()) > DIGITS


def test_a_start_that_cannot_be(ladder_runs):
    for start, message in (
        ({"alhpa": 0.3}, "cannot start at 'alhpa' of law 'chinchilla'.*did you mean 'alpha'"),
        ({"E": -1.0}, "cannot start at E = -1: outside"),
        ({"E": math.nan}, "cannot start at E = nan: outside"),
    ):
        with pytest.raises(bs.InputError, match=message):
            bs.maximum_likelihood("chinchilla", ladder_runs, start=start)
    with pytest.raises(bs.InputError, match="starts = 0 must be at least 1"):
        bs.maximum_likelihood("chinchilla", ladder_runs, starts=0)
