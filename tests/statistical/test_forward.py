"""Forward validation: log scores in closed form, standard errors by simulation, weights and warnings."""

import numpy as np
import pytest
from conftest import floor_only, simulated_runs
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.forward import _rehearsals, clustered, cut_offs

LAW = bs.get_law("chinchilla")
SE = 0.02


@pytest.fixture(scope="module")
def forward():
    """Only E is free, scatter is known, nothing drifts: every forecast is normal. One law has the exponent of the runs, one a wrong one."""
    found = simulated_runs(n=40, scatter=0.0)
    loss = found["loss"] + SE * np.random.default_rng(1).normal(size=40)
    runs = bs.runs_from_columns({**found.columns, "loss": loss, "loss_se": np.full(40, SE)})
    laws = {"right": floor_only(0.3478), "wrong": floor_only(0.2)}
    return runs, laws, bs.forward_validation(laws, runs, cuts=3, drift=0)


def test_against_the_closed_form(forward):
    runs, laws, found = forward
    for name in ("right", "wrong"):
        residual = runs["loss"] - LAW.predict(runs.columns, LAW.complete({**laws[name]["fix"], "E": 0.0}))
        for split, cut in enumerate(found.scores["split"].values):
            known = runs["compute"] <= cut
            forecast = stats.norm(residual[known].mean(), SE * np.sqrt(1 + 1 / known.sum()))
            one = found.scores.sel(law=name).isel(split=split)
            assert np.array_equal(np.isnan(one["log_score"]), known)
            assert one["log_score"].values[~known] == pytest.approx(forecast.logpdf(residual[~known]), rel=0.02, abs=0.03)
            assert one["level"].values[~known] == pytest.approx(forecast.cdf(residual[~known]), abs=0.05)
            assert found.of_split(name, split)["fitted"] == known.sum()


def test_what_it_says(forward):
    _, _, found = forward
    rows = found.summary
    assert next(iter(rows)) in ("right", "average")
    assert abs(rows["right"]["coverage90"] - 0.9) < 0.12
    assert rows["wrong"]["coverage90"] < 0.6
    assert found.weights["right"] > 0.9
    # Half and three quarters of the runs up to the first cut-off have forecast the others, and found the wrong law out.
    assert found.scores["warned"].sel(law="wrong").all()
    assert not found.scores["warned"].sel(law="right").any()
    first = {name: np.exp(found.scores["log_score"].isel(split=0).sel(law=name).values) for name in ("right", "wrong", "average")}
    there = np.isfinite(first["right"])
    share = ((first["average"] - first["wrong"]) / (first["right"] - first["wrong"]))[there]
    assert share == pytest.approx(np.full(there.sum(), np.median(share)), abs=1e-6)  # a mixture, of one weight
    assert 0.6 < np.median(share) <= 1
    late = found.scores["log_score"].isel(split=2)
    assert np.nanmax(np.abs(late.sel(law="average") - late.sel(law="right"))) < 0.2
    assert "3 cut-offs" in str(found)


def test_where_nothing_can_be_rehearsed_laws_weigh_alike(forward):
    runs, laws, _ = forward
    place = np.sort(runs["compute"])
    assert _rehearsals(runs["compute"], place[30]).tolist() == [place[15], place[23]]  # 16 and 24 of 31
    assert _rehearsals(runs["compute"], place[9]).tolist() == [place[7]]  # 8 of 10: 5 would be too few
    assert _rehearsals(np.ones(20), 1.0).size == 0
    found = bs.forward_validation(laws, runs, cuts=[place[7]], drift=0)
    scores = found.scores["log_score"].isel(split=0)
    mixture = np.log((np.exp(scores.sel(law="right")) + np.exp(scores.sel(law="wrong"))) / 2)
    assert np.nanmax(np.abs(scores.sel(law="average") - mixture)) < 1e-9
    assert found.scores.sizes["split"] == 1


def test_standard_errors_know_that_forecasts_err_together():
    """Errors shared by the runs of one fit and by the fits of one run: the spread of the mean over many such tables."""
    rng = np.random.default_rng(0)
    splits, runs = 12, 30

    def table():
        return rng.normal(size=(splits, 1)) + 0.7 * rng.normal(size=(1, runs)) + rng.normal(size=(splits, runs))

    found = np.array([clustered(table()) for _ in range(400)])
    assert np.sqrt(np.mean(found[:, 1] ** 2)) == pytest.approx(found[:, 0].std(), rel=0.15)
    assert found[:, 0].std() > 3 * 1.5 / np.sqrt(splits * runs)  # as if independent
    alone = rng.normal(size=(1, 50))
    assert clustered(alone)[1] == pytest.approx(alone.std(ddof=1) / np.sqrt(50), rel=0.02)


def test_cut_offs_leave_runs_on_both_sides():
    place = np.repeat([1.0, 2, 3, 4, 5], 6)
    for count in (1, 2, 4, 9):
        found = cut_offs(place, count)
        assert len(found) <= count
        assert found.max() < 5
    assert len(cut_offs(np.ones(9), 4)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"laws": []}, "name the laws"),
        ({"laws": "chinchilla"}, r"must be a list of laws: \['chinchilla'\]"),
        ({"laws": ["chinchilla"], "by": "epochs"}, "has no column for 'epochs'"),
        ({"laws": ["chinchilla"], "cuts": [1e30]}, "no runs on both sides of the cut-off compute = 1e.30"),
        ({"laws": ["chinchilla"], "cuts": 0}, "no cut-off in compute"),
        ({"laws": ["chinchilla"], "cuts": []}, "no cut-off in compute"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, message):
    with pytest.raises(bs.InputError, match=message):
        bs.forward_validation(runs=simulated_runs(n=20), **arguments)
