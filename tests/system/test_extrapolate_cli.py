"""The command ``extrapolate``: what it prints, what it stores, and what it refuses."""

import json

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.cli import main


@pytest.fixture
def table(tmp_path):
    x = np.geomspace(1e9, 6.4e10, 7)
    path = tmp_path / "curve.csv"
    path.write_text("tokens,loss\n" + "\n".join(f"{a:g},{2.4 + 1.6 * (a / 1e9) ** -0.5:.4f}" for a in x))
    return path


def test_forecast_is_printed_drawn_and_stored(table, tmp_path, capsys):
    out, figure = tmp_path / "forecast.nc", tmp_path / "forecast.png"
    arguments = [str(table), "--at", "1e11,1e12", "--target", "2.45", "--out", str(out), "--plot", str(figure)]
    assert main(["extrapolate", *arguments]) == 0
    text = capsys.readouterr().out
    assert "The draws can be trusted" in text
    assert "2.45 is reached by" in text
    assert "measured already" not in text
    assert figure.stat().st_size > 10_000
    assert main(["fit", str(table), "--law", "extrapolate", "--at", "1e11,1e12", "--target", "2.45", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    low, middle, high = record["forecast"][0]["curve"]
    assert low < 2.4 + 1.6 * 100**-0.5 < high
    assert low < middle < high
    read = bs.load_forecast(out)
    np.testing.assert_allclose(read.predict(1e11, [0.05, 0.5, 0.95])["curve"][0], [low, middle, high], rtol=1e-12)
    assert str(read).splitlines()[0] == "curve.csv: 7 points, x from 1e9 to 6.4e10; prior of kind 'generic'"


def test_a_target_behind_the_last_point_was_met_there(table, capsys):
    assert main(["extrapolate", str(table), "--target", "3.1"]) == 0
    assert "3.1 has been measured already, at 8e9; what follows is of the curve beyond its last point" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("tokens,loss\n1e9,3\n2e9,2.9\n3e9,2.8", [], "3 different x; an extrapolation needs at least 4"),
        ("tokens,loss\n1e9,3\n2e9,3\n3e9,3\n4e9,3", [], "every y is 3; a constant says nothing of a curve"),
        ("tokens,loss\n1e9,3\n2e9,-1\n3e9,2\n4e9,2", [], "line 3"),
        ("tokens,loss\n1e9,3\n2e9,nan\n3e9,2\n4e9,2", [], "line 3"),
        ("tokens,loss\n1e9,3\n2e9,2.9\n3e9,2.8\n4e9,2.7", ["--at", "1e9"], "a forecast is of what lies beyond the last point, 4e+09"),
        ("tokens,loss\n1e9,3\n2e9,2.9\n3e9,2.8\n4e9,2.7", ["--target", "-1"], "target = -1 must be a finite number above 0"),
        ("tokens,loss\n1e9,3\n2e9,2.9\n3e9,2.8\n4e9,2.7", ["--kind", "images"], "unknown kind of curve 'images'; known: "),
        ("tokens,loss\n1e9,3\n2e9,2.9\n3e9,2.8\n4e9,2.7", ["--input", "params"], "name a column with --input"),
        ("tokens,loss\n1e9,3\n2e9,2.9\n3e9,2.8\n4e9,2.7", ["--draws", "5"], "draws = 5 must be between 100 and 100000"),
        ("a,b\n1,2", [], ""),
        ("", [], ""),
    ],
)
def test_what_is_no_curve_is_one_line(tmp_path, capsys, text, options, message):
    path = tmp_path / "curve.csv"
    path.write_text(text)
    assert main(["extrapolate", str(path), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1


def test_options_of_laws_are_refused(table, capsys):
    assert main(["fit", str(table), "--law", "extrapolate", "--noise", "normal"]) == 2
    assert "--noise means nothing for --law extrapolate" in capsys.readouterr().err
    assert main(["fit", str(table), "--law", "power_law", "--target", "2"]) == 2
    assert "--target is for --law extrapolate" in capsys.readouterr().err


def test_a_file_that_is_no_forecast_is_refused(table, tmp_path):
    with pytest.raises(bs.FileError, match="no file"):
        bs.load_forecast(tmp_path / "none.nc")
    with pytest.raises(bs.FileError, match="is not a forecast of bayes-scaling"):
        bs.load_forecast(table)


@pytest.mark.parametrize(("column", "options"), [("step", []), ("step", ["--input", "step"]), ("images seen", ["--input", "images seen"])])
def test_a_curve_against_steps_or_any_column(table, column, options, capsys):
    table.write_text(table.read_text().replace("tokens", column))
    assert main(["extrapolate", str(table), "--at", "1e11", *options]) == 0
    assert "7 points, x from 1e9 to 6.4e10" in capsys.readouterr().out


def test_without_an_input_the_columns_are_listed(table, capsys):
    table.write_text(table.read_text().replace("tokens", "images seen"))
    assert main(["extrapolate", str(table)]) == 2
    assert "name a column with --input, any will do (columns not recognised: images seen)" in capsys.readouterr().err
