"""What is said to people of one, and of what a figure does not hold."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import floor_fit, simulated_runs

import bayes_scaling as bs
from bayes_scaling.errors import counted, lines_text
from bayes_scaling.plot import residuals
from bayes_scaling.text import diagnosis_text


@pytest.fixture(scope="module")
def fit():
    return floor_fit(bs.runs_from_columns({**simulated_runs(n=24, scatter=0.004).columns, "loss_se": np.full(24, 0.02)}), 0.3478)[0]


def test_one_and_more():
    assert counted(1, "run", "lies", "lie") == "1 run lies"
    assert counted(2, "run", "lies", "lie") == "2 runs lie"
    assert counted(0, "column") == "0 columns"
    assert lines_text(1, "22") == "line 22"
    assert lines_text(2, "2, 5") == "lines 2, 5"


def test_one_column_is_joined(tmp_path):
    (tmp_path / "runs.csv").write_text("model,params,tokens\na,1e8,1e9\nb,1e9,1e10\n")
    (tmp_path / "losses.csv").write_text("model,loss\na,3.1\nb,2.6\n")
    runs = bs.read_runs(tmp_path / "runs.csv", join=tmp_path / "losses.csv", on="model")
    assert any(note.startswith("1 column joined from ") for note in runs.notes)


def test_arrows_point_to_runs_beyond_the_picture(fit):
    loss = fit.runs["loss"] * np.where(np.arange(24) == 5, 1.6, 1.0)
    ax = residuals(replace(fit, runs=replace(fit.runs, columns={**fit.runs.columns, "loss": loss})))
    assert "1 of 24 runs beyond the picture" in [text.get_text() for text in ax.texts]
    arrows = [item.get_offsets() for item in ax.collections if len(item.get_offsets()) == 1]
    assert len(arrows) == 1
    assert arrows[0][0, 0] == fit.runs["params"][5]
    assert 0.9 * ax.get_ylim()[1] < arrows[0][0, 1] < ax.get_ylim()[1]


def test_one_run_is_told_of_as_one(fit):
    """Of a fit with one run far off, as a user reads it."""
    loss = fit.runs["loss"] * np.where(np.arange(24) == 5, 1.1, 1.0)
    told = floor_fit(replace(fit.runs, columns={**fit.runs.columns, "loss": loss}), 0.3478)[0]
    assert "1 run disagrees with the law" in diagnosis_text(told)
    line = fit.runs.lines[5]
    assert f"where 1 of 24 is (line {line}; line {line} measured" in diagnosis_text(told)


def test_the_law_is_asked_for_before_the_runs():
    for nothing in ({"loss": [1.0]}, "none.csv"):
        with pytest.raises(bs.LawError, match="unknown law 'chinchila'; did you mean 'chinchilla'"):
            bs.fit("chinchila", nothing)
