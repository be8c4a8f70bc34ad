import math

import numpy as np
import pytest

from bayes_scaling.units import compute_text, count_text, to_base


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (72.2e9, "72.2B"),
        (1.33e12, "1.33T"),
        (2840, "2.84k"),
        (999.96e9, "1.00T"),
        (7, "7.00"),
        (9e9, "9.00B"),
        (185e9, "185B"),
        (1e15, "1e+15"),
        (math.inf, "unbounded"),
    ],
)
def test_counts_are_written_with_three_digits(value, text):
    assert count_text(value) == text


def test_compute_is_written_as_people_write_it():
    assert compute_text(5.76e23) == "5.76e23 FLOP"


def test_units_of_the_field():
    assert to_base(np.array([1.0]), "compute", "PF-day")[0] == 8.64e19
    assert to_base(np.array([1.0]), "loss", "bit")[0] == math.log(2)
