import pytest

from bayes_scaling.units import compute_text, tidy
from bayes_scaling.words import share_text, span_text


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ((1.9692, 1.9571, 1.9823), ("1.969", "1.957", "1.982")),
        ((0.5767, 0.03298, 3.86), ("0.58", "0.03", "3.86")),  # not 0.0 to 3.9: it cannot be nothing
        ((463.2, 357.4, 603.1), ("463", "357", "603")),
        ((7.11e10, 5.99e10, 8.5e10), ("71.1B", "59.9B", "85.0B")),
        ((1.8, 1.8, 1.8), ("1.800", "1.800", "1.800")),
        ((3.2e-9, 1.1e-9, 7.3e-9), ("3.2e-09", "1.1e-09", "7.3e-09")),
        ((1e21, 1e20, float("inf")), ("1e21", "1e20", "out of reach")),
    ],
)
def test_an_interval_has_the_digits_that_it_deserves(values, written):
    assert span_text(*values) == written


def test_shares_and_powers():
    assert [share_text(share) for share in (0.00003, 0.0038, 0.0224, 0.64)] == ["less than 0.01 %", "0.38 %", "2.2 %", "64 %"]
    assert [compute_text(value) for value in (4.55e9, 5.76e23, 1e14)] == ["4.55e9 FLOP", "5.76e23 FLOP", "1e14 FLOP"]
    assert tidy("at 1.8e+07 params") == "at 1.8e7 params"
