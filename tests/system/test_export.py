"""What leaves a fit for other tools, and that a stored fit needs nothing beside it."""

import json

import numpy as np
import pandas
import pytest
from conftest import floor_fit, simulated_runs

import bayes_scaling as bs

NAMES = ("E", "A", "alpha", "sigma")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".json"])
def test_draws_in_every_format_are_the_draws(run, stored, small_fit, tmp_path, suffix):
    path = tmp_path / f"draws{suffix}"
    code, out, err = run("export", stored, "--out", path)
    assert code == 0, err
    assert str(path) in out
    if suffix == ".json":
        text = json.loads(path.read_text())
        assert text["law"] == "chinchilla"
        assert text["trustworthy"] is True
        found = pandas.DataFrame(text["columns"])
    else:
        text = dict.fromkeys(NAMES, str)  # pandas before 3.1 reads numbers to an ulp or so
        separator = "\t" if suffix == ".tsv" else ","
        found = pandas.read_parquet(path) if suffix == ".parquet" else pandas.read_csv(path, sep=separator, dtype=text)
    assert len(found) == 4 * 500
    for name in NAMES:
        draws = found.sort_values(["chain", "draw"])[name].to_numpy().astype(float).reshape(4, 500)
        assert np.array_equal(draws, small_fit.posterior[name]), name  # every digit
    assert set(found["chain"]) == {0, 1, 2, 3}
    assert not found["diverging"].any()


def test_summary_and_runs(run, stored, small_fit, tmp_path):
    assert run("export", stored, "--what", "summary", "--out", tmp_path / "summary.json")[0] == 0
    columns = json.loads((tmp_path / "summary.json").read_text())["columns"]
    rows = dict(zip(columns["parameter"], columns["median"], strict=True))
    assert rows == {name: row["median"] for name, row in small_fit.summary().items()}
    assert run("export", stored, "--what", "runs", "--out", tmp_path / "runs.csv")[0] == 0
    again = bs.read_runs(tmp_path / "runs.csv")
    assert again.data_hash == small_fit.runs.data_hash  # the runs can be fitted again from what was written
    assert small_fit.to_frame("summary").shape == (len(small_fit.summary()), 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "draws.xlsx"), "let its name end with .parquet, .pq, .csv"),
        (("--out", "nowhere/draws.csv"), "no folder 'nowhere'"),
        (("--out", "draws.csv", "--what", "drows"), "did you mean 'draws'"),
        (("--out", "fit.nc", "--what", "runs"), "NetCDF holds the whole fit"),
    ],
)
def test_what_cannot_be_written_is_one_line(run, stored, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("export", stored, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_stored_fit_needs_no_table_of_runs(run, tmp_path):
    """Everything that a fit is asked later works when the CSV is gone: the runs, groups, notes and options are in its file."""
    found = simulated_runs(n=60)
    place = ["even" if row % 2 else "odd" for row in range(60)]
    columns = {name: found[name] for name in ("params", "tokens", "loss")}
    frame = pandas.DataFrame({**columns, "loss_se": 0.01, "place": place, "kind": "x"})
    frame.to_csv(tmp_path / "runs.csv", index=False)
    runs = bs.read_runs(tmp_path / "runs.csv", map={"group": "place,kind"}, where="loss > 1")
    fit, _ = floor_fit(runs, 0.3478)
    fit.save(tmp_path / "fit.nc")
    (tmp_path / "runs.csv").unlink()
    again = bs.load_fit(tmp_path / "fit.nc").runs
    assert again.data_hash == runs.data_hash
    for name in ("notes", "factors", "ignored", "reading", "source"):
        assert getattr(again, name) == getattr(runs, name), name
    assert again.group.tolist() == runs.group.tolist()
    assert again.lines.tolist() == runs.lines.tolist()
    for arguments in (("allocate", "--compute", "1e22"), ("sheet",), ("export", "--out", tmp_path / "draws.csv")):
        code, _, err = run(arguments[0], tmp_path / "fit.nc", *arguments[1:])
        assert code == 0, err
