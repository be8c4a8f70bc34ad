"""Bad input of every kind to every command: one line that says what is wrong and what to do, exit code 2, and nothing changed or left."""

import bad_input
import numpy as np
import pytest
from bad_commands import OF_COMMANDS
from bad_data import OF_DATA

import bayes_scaling as bs


@pytest.fixture(scope="session")
def fits(stored, tmp_path_factory):
    path = tmp_path_factory.mktemp("grouped") / "fit.nc"
    bad_input.grouped_fit().save(path)
    bad_input.FORGED["FIT"] = stored
    return {"FIT": stored, "GROUPED": path}


@pytest.mark.parametrize(("kind", "case"), [pytest.param(kind, case, id=case.about) for kind, case in [*OF_DATA, *OF_COMMANDS]])
def test_bad_input(kind, case, fits, tmp_path):
    found = bad_input.observe(case, tmp_path, fits)
    assert not found.wrong, (case.command[:200], found.err[:500])


def test_dates_and_complex_numbers_of_frames_are_no_numbers():
    """numpy would make nanoseconds of the ones, and drop the imaginary part of the others."""
    import pandas

    for column in (pandas.to_datetime(["2026-01-31", "2026-02-28"]), pandas.to_timedelta([1, 2], "D"), np.array([1 + 2j, 3])):
        frame = pandas.DataFrame({"params": [1e8, 1e9], "tokens": [1e9, 1e10], "loss": column})
        with pytest.raises(bs.InputError, match="line 1, column 'loss': .* is not a number but"):
            bs.read_runs(frame)
    with pytest.raises(bs.InputError, match="line 2, column 'loss': 'True' is not a number but true or false"):
        bs.read_runs(pandas.DataFrame({"params": [1e8, 1e9], "tokens": [1e9, 1e10], "loss": [2.5, True]}))
