import math

import numpy as np
import pytest

from bayes_scaling.errors import InputError
from bayes_scaling.units import compute_text, count_text, likely_columns, read_number, to_base


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
        (1e15, "1e15"),
        (math.inf, "unbounded"),
    ],
)
def test_counts_are_written_with_three_digits(value, text):
    assert count_text(value) == text


def test_compute_is_written_as_people_write_it():
    assert compute_text(5.76e23) == "5.76e23 FLOP"


@pytest.mark.parametrize(
    ("text", "quantity", "value"),
    [
        ("1e22", "compute", 1e22),
        ("10^22", "compute", 1e22),
        ("2 x 10^22", "compute", 2e22),
        ("2.5*10**22", "compute", 2.5e22),
        ("5.76e23 FLOP", "compute", 5.76e23),
        ("100 PF-day", "compute", 8.64e21),
        ("1B", "params", 1e9),
        ("70 billion", "params", 70e9),
        ("346k", "tokens", 346e3),
        (".5T", "test_tokens", 5e11),
        ("80GB", "data_bytes", 80e9),
        (" -1.5 ", "", -1.5),
        ("10^-3", "", 1e-3),
    ],
)
def test_numbers_are_read_as_people_write_them(text, quantity, value):
    assert read_number(text, quantity) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("value", [2840.0, 7.0, 346e3, 72.2e9, 1.33e12])
def test_what_is_written_can_be_read(value):
    assert read_number(count_text(value), "params") == pytest.approx(value, rel=1e-3)
    assert read_number(compute_text(value), "compute") == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "quantity", "message"),
    [
        ("3^4", "compute", "'3^4' is not a number (write 5.76e23)"),
        ("1_000", "params", "'1_000' is not a number (write 7e10, 7 x 10^10 or 70B)"),
        ("2 x ten", "params", "'2 x ten' is not a number (write 7e10, 7 x 10^10 or 70B)"),
        ("1b", "params", "'1b': unknown unit 'b' for params; did you mean 'B'?"),
        ("2M", "", "'2M' is not a number (write 5.76e23)"),
        ("", "tokens", "'' is not a number (write 7e10, 7 x 10^10 or 70B)"),
        ("-inf", "compute", "-inf is not a finite number"),
        ("1e308 PFLOP", "compute", "1e308 PFLOP is not a finite number"),
    ],
)
def test_what_is_no_number_is_refused(text, quantity, message):
    with pytest.raises(InputError) as refused:
        read_number(text, quantity)
    assert str(refused.value) == message


def test_units_of_the_field():
    assert to_base(np.array([1.0]), "compute", "PF-day")[0] == 8.64e19
    assert to_base(np.array([1.0]), "loss", "bit")[0] == math.log(2)
    assert to_base(np.array([1.0]), "params", "M")[0] == 1e6


@pytest.mark.parametrize(
    ("name", "column", "unit"),
    [
        ("tokens", "D (B tokens)", "billion"),
        ("tokens", "tokens_B", "billion"),
        ("tokens", "Training tokens (trillions)", "trillion"),
        ("tokens", "total tokens", ""),
        ("params", "Model size (bn)", "billion"),
        ("compute", "C (ZFLOPs)", "ZFLOP"),
        ("loss", "loss (bits)", "bit"),
        ("accuracy", "acc (%)", "percent"),
        ("tokens", "T", None),
        ("tokens", "batch tokens", None),
        ("params", "n_layers", None),
        ("loss", "loss (bits per byte)", None),
    ],
)
def test_headers_that_say_a_quantity_and_its_unit_are_proposed(name, column, unit):
    assert likely_columns(name, ["notes", column]) == ({} if unit is None else {column: unit})


def test_headers_that_say_more_are_proposed_without_a_unit():
    assert likely_columns("loss", ["loss (bits per byte)", "x/loss", "closs"], within=True) == {"loss (bits per byte)": "", "x/loss": ""}
