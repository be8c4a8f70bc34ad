"""Groups of runs with parameters of their own, pooled in part."""

import json

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling import cli

LAW = bs.get_law("power_law_floor").with_input("tokens")
EXPONENTS = {"a": 0.25, "b": 0.30, "c": 0.36}


@pytest.fixture(scope="module")
def runs():
    """Three curves that differ in exponent; the last one has hardly begun."""
    import pandas

    rng = np.random.default_rng(2)
    rows = []
    for label, exponent in EXPONENTS.items():
        for tokens in np.geomspace(1e8, 1e11, 20) if label != "c" else np.geomspace(1e8, 4e8, 6):
            curve = LAW.predict({"tokens": tokens}, LAW.complete({"E": 1.7, "a_ref": 1.0, "c": exponent}))
            rows.append({"curve": label, "tokens": tokens, "loss": float(curve) * np.exp(0.003 * rng.normal())})
    return bs.read_runs(pandas.DataFrame(rows), map={"group": "curve"})


@pytest.fixture(scope="module")
def fit(runs):
    return bs.fit("power_law_floor", runs, input="tokens", noise="normal-log", pool=["c"], draws=500)


def test_pooled_fit_converges_and_covers(fit):
    assert fit.diagnosis.max_rhat < 1.01, str(fit)
    assert fit.diagnosis.divergences == 0
    assert fit.groups == ("a", "b", "c")
    for label, exponent in EXPONENTS.items():
        low, high = np.quantile(fit.select(label).parameters()["c"], [0.005, 0.995])
        assert low < exponent < high
    assert {"c[a]", "c[b]", "c[c]", "c_center", "c_spread", "E[a]", "sigma"} <= set(fit.summary())


def test_independent_groups_are_separate_fits(runs):
    """Without pooling, with the scatter fixed, a group's posterior is that of its runs alone (5 standard errors)."""
    together = bs.fit("power_law_floor", runs, input="tokens", noise="normal-log", grouped=True, fix={"sigma": 0.003}, draws=500)
    alone = bs.fit("power_law_floor", runs.of_group("b"), input="tokens", noise="normal-log", fix={"sigma": 0.003}, seed=1, draws=500)
    ours, theirs = together.select("b").parameters(), alone.parameters()
    for name in ("E", "a_ref", "c"):
        error = theirs[name].std() * np.sqrt(2 / 500)
        assert ours[name].mean() == pytest.approx(theirs[name].mean(), abs=5 * error), name
        assert ours[name].std() == pytest.approx(theirs[name].std(), rel=0.2), name


def test_pooling_narrows_the_short_group(runs, fit):
    alone = bs.fit("power_law_floor", runs, input="tokens", noise="normal-log", grouped=True, draws=500)
    assert fit.select("c").parameters()["c"].std() < alone.select("c").parameters()["c"].std()


def test_a_group_is_used_like_a_fit(fit, tmp_path, capsys):
    path = tmp_path / "fit.nc"
    fit.save(path)
    again = bs.load_fit(path)
    assert str(again) == str(fit)
    one = again.select("b")
    assert len(one.runs) == 20
    assert one.log_likelihood().shape == (4, 500, 20)
    draws = one.parameters()
    expected = LAW.predict(one.runs.columns, {name: values[..., None] for name, values in draws.items()})
    residual = np.log(one.runs["loss"] / expected) / draws["sigma"][..., None]
    density = -0.5 * residual**2 - np.log(np.sqrt(2 * np.pi) * draws["sigma"])[..., None] - np.log(one.runs["loss"])
    assert np.allclose(one.log_likelihood(), density)
    with pytest.raises(bs.InputError, match="select one of a, b, c"):
        again.parameters()
    with pytest.raises(bs.InputError, match="no group 'd'"):
        again.select("d")
    assert cli.main(["allocate", str(path), "--target-loss", "2"]) == 2
    assert "choose one with --group (a, b, c)" in capsys.readouterr().err
    assert cli.main(["allocate", str(path), "--target-loss", "2", "--group", "b", "--json", "--allow-unconverged"]) == 0
    assert json.loads(capsys.readouterr().out)["targets"][0]["tokens"]["median"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool": ["C"]}, "cannot pool 'C'.*did you mean 'c'"),
        ({"pool": ["c"], "fix": {"c": 0.3}}, "both fixed and pooled"),
        ({"pool": {"c": "partially"}}, "cannot pool 'c' as 'partially'; did you mean 'partial'"),
        ({"pool": {"c": "partial:task"}}, "the groups are made of one column only"),
    ],
)
def test_settings_that_are_refused(runs, settings, message):
    with pytest.raises(bs.InputError, match=message):
        bs.fit("power_law_floor", runs, input="tokens", **settings)


def test_groups_that_are_not_there(runs):
    with pytest.raises(bs.InputError, match="in one group"):
        bs.fit("power_law_floor", runs.of_group("a"), input="tokens", grouped=True)
    plain = bs.runs_from_columns({"tokens": [1e9, 1e10], "loss": [3.0, 2.5]})
    with pytest.raises(bs.InputError, match="needs a column of groups"):
        bs.fit("power_law_floor", plain, pool=["c"])


@pytest.fixture(scope="module")
def crossed():
    """Two tasks with an exponent each, two architectures with a prefactor each: what Hestness et al. 2017 found."""
    import pandas

    rng = np.random.default_rng(5)
    rows = []
    for task, exponent in (("speech", 0.22), ("words", 0.35)):
        for architecture, level in (("lstm", 1.0), ("attention", 0.6)):
            for tokens in np.geomspace(1e8, 1e11, 12):
                curve = LAW.predict({"tokens": tokens}, LAW.complete({"E": 1.7, "a_ref": level, "c": exponent}))
                loss = float(curve) * np.exp(0.002 * rng.normal())
                rows.append({"task": task, "architecture": architecture, "tokens": tokens, "loss": loss})
    return bs.read_runs(pandas.DataFrame(rows), map={"group": "task,architecture"})


def test_parameters_may_vary_over_one_of_two_columns(crossed, tmp_path):
    pool = {"E": "shared", "c": "free:task", "a_ref": "partial"}
    fit = bs.fit("power_law_floor", crossed, input="tokens", noise="normal-log", pool=pool)
    assert fit.diagnosis.max_rhat < 1.01, str(fit)
    assert fit.groups == ("speech/attention", "speech/lstm", "words/attention", "words/lstm")
    draws = {label: fit.select(label).parameters() for label in fit.groups}
    for task, exponent in (("speech", 0.22), ("words", 0.35)):
        one, other = draws[f"{task}/lstm"], draws[f"{task}/attention"]
        assert np.array_equal(one["c"], other["c"])
        low, high = np.quantile(one["c"], [0.005, 0.995])
        assert low < exponent < high
        assert np.median(one["a_ref"]) == pytest.approx(1.0, rel=0.1)
        assert np.median(other["a_ref"]) == pytest.approx(0.6, rel=0.1)
    assert np.array_equal(draws["speech/lstm"]["E"], draws["words/attention"]["E"])
    fit.save(tmp_path / "fit.nc")
    again = bs.load_fit(tmp_path / "fit.nc")
    assert np.array_equal(again.select("words/lstm").parameters()["c"], draws["words/lstm"]["c"])


def test_labels_that_cannot_be_joined(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("a,b,tokens,loss\nx/y,z,1e9,3\n")
    with pytest.raises(bs.InputError, match="hold a '/'"):
        bs.read_runs(path, map={"group": "a,b"})
    with pytest.raises(bs.InputError, match="has no column 'c'"):
        bs.read_runs(path, map={"group": "a,c"})


@pytest.mark.long
def test_partial_pooling_predicts_a_barely_measured_group_best(shared_data):
    """Gadre et al. 2024: three cheap runs on C4 and all runs on two other training sets predict the other runs on C4."""
    from pooling import STUDIES, score

    study = STUDIES["gadre2024"]
    runs = study.read(shared_data)
    found = {kind: score(study, runs, "c4_original", kind, draws=500) for kind in ("free", "partial", "shared")}
    assert found["partial"].held_out == 31
    assert found["partial"].converged
    assert found["partial"].log_score > max(found["free"].log_score, found["shared"].log_score) + 0.2
    assert found["partial"].rmsle < min(found["free"].rmsle, found["shared"].rmsle)
    assert found["partial"].coverage > 0.75
