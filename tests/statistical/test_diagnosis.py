"""Fits that cannot be trusted say so, and why; good ones do not cry wolf."""

import numpy as np
import pytest
from conftest import simulated_runs

import bayes_scaling as bs
from bayes_scaling.identification import data_problems, ridge_problems
from bayes_scaling.model import Pooling, Settings, model_priors
from bayes_scaling.noise import noise_of

LAW = bs.get_law("chinchilla")
VALUES = LAW.published["besiroglu"].values


def runs_at(params, tokens, scatter=0.005, loss=None):
    rng = np.random.default_rng(7)
    params, tokens = np.asarray(params, float), np.asarray(tokens, float)
    loss = LAW.predict({"params": params, "tokens": tokens}, VALUES) if loss is None else loss
    return bs.runs_from_columns({"params": params, "tokens": tokens, "loss": loss * np.exp(scatter * rng.normal(size=len(params)))})


def kinds(fit):
    return {problem.kind for problem in fit.diagnosis.problems if problem.serious}


def test_good_data_are_trusted(small_fit):
    assert small_fit.diagnosis.ok, str(small_fit)
    assert "can be trusted" in str(small_fit)
    assert not any(problem.kind == "ridge" for problem in small_fit.diagnosis.problems)
    assert max(small_fit.diagnosis.width[name] for name in LAW.parameter_names) < 0.7


def test_three_runs():
    fit = bs.fit(LAW, runs_at([1e8, 1e9, 1e10], [1e10, 2e10, 5e10]))
    assert not fit.diagnosis.ok
    assert "few runs" in kinds(fit)
    assert "3 runs cannot determine 5 parameters" in str(fit)
    assert fit.diagnosis.problems[0].kind == "few runs"  # which explains the others


def test_one_run():
    fit = bs.fit(LAW, runs_at([1e8], [1e10]), draws=250)
    assert "few runs" in kinds(fit)


def test_all_runs_at_one_size():
    fit = bs.fit(LAW, runs_at(np.full(30, 1e9), np.geomspace(1e9, 1e12, 30)))
    assert not fit.diagnosis.ok
    assert "constant input" in kinds(fit)
    assert "all runs have about the same params (1.00B)" in str(fit)


def test_on_frontier_runs_only():
    params = np.geomspace(1e8, 1e10, 40)
    fit = bs.fit(LAW, runs_at(params, 20 * params))
    assert not fit.diagnosis.ok
    assert "collinear inputs" in kinds(fit)
    assert fit.diagnosis.problems[0].kind == "collinear inputs"  # which explains the others
    assert "params and tokens move together: 40 of 40 runs have about 20 tokens a param (all from 20 to 20)" in str(fit)
    assert "A and alpha cannot be told from B and beta" in str(fit)
    assert "other sizes at the same compute, for example " in str(fit)


def spread(n, low, high):
    return 10 ** np.random.default_rng(3).uniform(low, high, n)


#: Two groups: one that tells everything, and one that is short of something.
WIDE = {"params": spread(40, 7, 10), "tokens": spread(40, 9, 12)[::-1]}
LINE = {"params": np.geomspace(1e8, 1e10, 12), "tokens": 20 * np.geomspace(1e8, 1e10, 12)}
ONE_SIZE = {"params": np.full(12, 1e9), "tokens": np.geomspace(1e9, 1e12, 12)}


@pytest.mark.parametrize(
    ("second", "free", "found"),
    [
        (LINE, ["E", "A_ref", "B_ref", "alpha", "beta"], {"collinear inputs"}),
        (LINE, ["A_ref", "B_ref"], {"collinear inputs"}),
        (LINE, ["A_ref", "E"], set()),  # tokens act alike in both groups, so that params tell A from E
        (LINE, ["E"], set()),
        (LINE, [], set()),
        (ONE_SIZE, ["E", "A_ref", "B_ref", "alpha", "beta"], {"constant input"}),
        (ONE_SIZE, ["E", "A_ref"], {"constant input"}),  # two levels from one
        (ONE_SIZE, ["A_ref", "B_ref"], set()),
        (ONE_SIZE, ["A_ref"], set()),
        ({name: values[:2] for name, values in WIDE.items()}, ["E"], set()),
        ({name: values[:2] for name, values in WIDE.items()}, ["E", "A_ref", "B_ref"], {"few runs"}),
    ],
)
def test_a_group_needs_to_tell_what_it_has_for_itself(second, free, found):
    columns = {name: np.concatenate([WIDE[name], second[name]]) for name in WIDE}
    columns["loss"] = LAW.predict(columns, VALUES)
    runs = bs.runs_from_columns({**columns, "group": ["wide"] * 40 + ["second"] * len(second["params"])})
    pool = {name: Pooling("shared") for name in LAW.parameter_names if name not in free}
    settings = Settings(groups=runs.groups, pool=pool)
    problems = data_problems(LAW, model_priors(LAW, noise_of(LAW), settings), runs, settings)
    assert {problem.kind for problem in problems} == found
    assert {problem.group for problem in problems} <= {"second"}


def test_groups_that_share_a_law_must_tell_it_together():
    both = {name: np.concatenate([LINE[name], LINE[name]]) for name in LINE}
    both["loss"] = LAW.predict(both, VALUES)
    runs = bs.runs_from_columns({**both, "group": ["one"] * 12 + ["two"] * 12})
    settings = Settings(groups=runs.groups, pool={name: Pooling("shared") for name in LAW.parameter_names if name != "E"})
    (problem,) = data_problems(LAW, model_priors(LAW, noise_of(LAW), settings), runs, settings)
    assert (problem.kind, problem.group) == ("collinear inputs", "")


def test_a_constant_input_matters_only_where_it_hides_something():
    """A model of one width still varies the params of its vocabulary."""
    law = bs.get_law("vocabulary")
    columns = {"non_vocab_params": spread(40, 7, 9), "vocabulary": spread(40, 3.5, 5)[::-1], "characters": np.roll(spread(40, 9, 11), 7)}
    columns["embed_dim"] = np.full(40, 512.0)
    columns["unigram_loss"] = law.predict(columns, law.published["tao"].values)
    problems = data_problems(law, model_priors(law, noise_of(law), Settings()), bs.runs_from_columns(columns), Settings())
    assert not problems


@pytest.mark.parametrize(("decades", "ridge"), [((7.5, 8.3), True), ((6.0, 11.0), False)])
def test_a_ridge_that_priors_end_is_said(decades, ridge):
    """Within one decade of N, scatter of 2 % leaves floor, prefactor and exponent to trade freely; over five decades it does not.

    Of the runs alone, standard errors of E are 3.7 and 0.1 nat; the prior's standard deviation is about 1.2.
    """
    truth = {"E": 1.0, "A": 2.5 * 1.8e7**0.15, "B": 0.64 * 7e8**0.3, "alpha": 0.15, "beta": 0.3}
    params = spread(40, *decades)
    tokens = params * np.tile([25.0, 50, 100, 400], 10)
    loss = LAW.predict({"params": params, "tokens": tokens}, truth)
    fit = bs.fit(LAW, runs_at(params, tokens, scatter=0.02, loss=loss), draws=500)
    notes = [problem.text for problem in fit.diagnosis.problems if problem.kind == "ridge"]
    assert bool(notes) == ridge, str(fit)
    if ridge:
        assert {"A_ref", "alpha"} <= set(notes[0].split(" move together")[0].replace(" and ", ", ").split(", "))
        assert "ridge" not in kinds(fit)  # said, and no reason to refuse what rests on the combination
        low, high = np.quantile(np.asarray(fit.parameters()["alpha"]), [0.005, 0.995])
        assert low < truth["alpha"] < high


def test_loss_that_rises_with_size():
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(8, 10, 40), 10 ** rng.uniform(10, 12, 40)
    fit = bs.fit(LAW, runs_at(params, tokens, loss=2.0 * (params / 1e8) ** 0.05 + 300 / tokens**0.25))
    assert not fit.diagnosis.ok
    assert "rising" in kinds(fit)
    assert "loss rises with params" in str(fit)


@pytest.mark.parametrize("rises", [False, True])
def test_inputs_that_grow_together_do_not_make_a_loss_rise(rises):
    """Wider models have more parameters: a straight line gives the width a rising part of a curve that falls in it."""
    from bayes_scaling.diagnose import _misfit_problems

    law = bs.get_law("vocabulary")
    size, vocabulary, text = (part.ravel() for part in np.meshgrid([3e7, 8e7, 3e8, 1e9], [4e3, 1e4, 3e4, 1e5], [1e9, 4e9, 2e10]))
    columns = {"non_vocab_params": size, "vocabulary": vocabulary, "characters": text, "embed_dim": 512 * (size / 3e7) ** (1 / 3)}
    columns["embed_dim"] = np.round(columns["embed_dim"] / 256) * 256
    curve = law.predict(columns, law.published["tao"].values)
    scatter = 0.02 * np.random.default_rng(5).normal(size=len(size))
    rise = 0.1 * np.log(vocabulary) if rises else 0.0
    runs = bs.runs_from_columns({**columns, "unigram_loss": curve + scatter + rise})
    found = [problem.text for problem in _misfit_problems(law, runs, curve + np.mean(rise), 1.0)]
    assert [text.split(" (")[0] for text in found] == (["unigram_loss rises with vocabulary"] if rises else [])


def test_pure_noise():
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(8, 10, 40), 10 ** rng.uniform(10, 12, 40)
    fit = bs.fit(LAW, runs_at(params, tokens, scatter=0.1, loss=np.full(40, 2.5)))
    assert not fit.diagnosis.ok
    assert kinds(fit) & {"unexplained", "unidentified"}


def test_too_few_draws_are_said(small_fit):
    fit = bs.fit(LAW, small_fit.runs, draws=20, warmup=50)
    assert "ess" in kinds(fit)


def test_an_outlying_run_is_named():
    runs = simulated_runs(n=60)
    loss = runs["loss"].copy()
    loss[10] *= 1.3
    fit = bs.fit(LAW, bs.runs_from_columns({**runs.columns, "loss": loss}))
    assert fit.diagnosis.surprising[0].line == 11
    assert "line 11" in str(fit)


def test_duplicated_rows_do_not_break_a_fit(small_fit):
    twice = {name: np.repeat(values, 2) for name, values in small_fit.runs.columns.items()}
    fit = bs.fit(LAW, bs.runs_from_columns(twice), draws=500)
    assert fit.diagnosis.max_rhat < 1.01
    assert any("exact duplicates" in note for note in fit.runs.notes)


@pytest.mark.parametrize("noise", ["student-t", "normal-log", "normal", "laplace"])
def test_every_noise_family_converges(noise):
    fit = bs.fit(LAW, simulated_runs(n=60), noise=noise, draws=500)
    assert fit.diagnosis.ok, str(fit)
    assert np.quantile(fit.parameters()["alpha"], 0.005) < VALUES["alpha"] < np.quantile(fit.parameters()["alpha"], 0.995)


def test_log_likelihood_is_a_density_of_the_loss(small_fit):
    from scipy import stats

    draws = small_fit.parameters()
    curve = LAW.predict(small_fit.runs.columns, {name: values[..., None] for name, values in draws.items()})
    residual = (np.log(small_fit.runs["loss"]) - np.log(curve)) / draws["sigma"][..., None]
    expected = stats.t.logpdf(residual, draws["nu"][..., None]) - np.log(draws["sigma"])[..., None] - np.log(small_fit.runs["loss"])
    assert np.allclose(small_fit.log_likelihood(), expected, rtol=1e-9)


def test_a_prior_that_the_user_set_may_decide():
    fit = bs.fit(LAW, simulated_runs(n=40), priors=dict([bs.parse_prior("E=Normal(1.8172, 0.001)")]), draws=500)
    assert fit.diagnosis.ok, str(fit)
    assert any(problem.kind == "unidentified" and not problem.serious for problem in fit.diagnosis.problems)


def test_a_prior_that_reaches_where_the_law_is_undefined_is_no_crash():
    fit = bs.fit(LAW, simulated_runs(n=40), priors=dict([bs.parse_prior("E=Normal(1.7, 5)")]), draws=500)
    assert np.quantile(fit.parameters()["E"], [0.005, 0.995])[0] < VALUES["E"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fix": {"E": -8.0}}, "E cannot be held at -8"),
        ({"fix": {"sigma": 0.0}}, "sigma cannot be held at 0"),
        ({"chains": 1}, "at least 2"),
        ({"precision": 16}, "must be 32 or 64"),
        ({"seed": -1}, "seed = -1"),
        ({"warmup": 3}, "too short to adapt"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(bs.InputError, match=message):
        bs.fit(LAW, simulated_runs(n=10), **settings)


def test_two_sizes_only():
    """Two sizes cannot tell A and alpha from the floor: three numbers from two levels."""
    fit = bs.fit(LAW, runs_at(np.repeat([2e8, 2e9], 15), np.tile(np.geomspace(2e9, 2e11, 15), 2)), draws=250)
    assert not fit.diagnosis.ok, str(fit)


def test_a_truncated_prior_is_sampled_within_its_bounds():
    fit = bs.fit(LAW, simulated_runs(n=40), priors=dict([bs.parse_prior("E=TruncatedNormal(1.7, 0.3, low=1.5)")]), draws=250)
    assert fit.diagnosis.starts == 16
    assert fit.parameters()["E"].min() > 1.5
    assert fit.diagnosis.max_rhat < 1.02
    assert fit.attributes["priors"]["E"] == "TruncatedNormal(loc=1.7, scale=0.3, low=1.5)"


def test_law_of_the_present_input_is_kept_on_disk(tmp_path):
    law = bs.get_law("power_law_floor").with_input("tokens")
    tokens = np.geomspace(1e8, 1e11, 20)
    scatter = np.exp(0.005 * np.random.default_rng(0).normal(size=20))
    loss = law.predict({"tokens": tokens}, law.published["besiroglu_tokens"].values) * scatter
    fit = bs.fit("power_law_floor", bs.runs_from_columns({"tokens": tokens, "loss": loss}), draws=250)
    assert fit.law.input_names == ("tokens",)
    fit.save(tmp_path / "fit.nc")
    assert bs.load_fit(tmp_path / "fit.nc").law.input_names == ("tokens",)


def test_many_rows_are_searched_in_part_and_fitted_in_full():
    runs = simulated_runs(n=6000)
    fit = bs.fit(LAW, runs, draws=250)
    assert fit.diagnosis.max_rhat < 1.02
    for name in ("alpha", "beta", "E"):
        low, high = np.quantile(fit.parameters()[name], [0.0005, 0.9995])
        assert low < VALUES[name] < high


def test_misfit_shows_where_runs_are_repeated():
    """Repeated runs agree to 0.1 %, the law misses by 2 %: that is said, and is no reason to refuse the fit."""
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(8, 10, 40), 10 ** rng.uniform(10, 12, 40)
    missed = LAW.predict({"params": params, "tokens": tokens}, VALUES) * np.exp(0.02 * rng.normal(size=40))
    both = {"params": np.tile(params, 2), "tokens": np.tile(tokens, 2), "loss": np.tile(missed, 2) * np.exp(0.001 * rng.normal(size=80))}
    fit = bs.fit(LAW, bs.runs_from_columns(both), noise="normal-log", draws=250)
    assert any(problem.kind == "misfit" and not problem.serious for problem in fit.diagnosis.problems), str(fit)


def test_repeated_runs_that_scatter_as_much_are_no_misfit(small_fit):
    assert not any(problem.kind == "misfit" for problem in small_fit.diagnosis.problems)


def test_a_curve_that_rounds_to_the_edge_of_its_range_is_no_obstacle():
    """An error that rounds to 1 has no logit; ridges are looked for among the other runs."""
    law = bs.get_law("data_filtering")
    noise = bs.noise.noise_of(law)
    rng = np.random.default_rng(0)
    middle = {"a": 11.3, "b": 0.16, "d": 0.103, "left_ref": 0.803, "tau": 6.6, "sigma": 0.04, "nu": 11.7}
    draws = {name: value * np.exp(0.02 * rng.normal(size=(4, 100))) for name, value in middle.items()}
    examples = np.append(np.geomspace(1e6, 1e8, 30), 2.1e9)
    columns = {"examples": examples, "unique_examples": np.full(31, 1.05e6), "error": np.full(31, 0.9)}
    ridge_problems(law, noise, bs.runs_from_columns(columns), {**law.complete(draws), **draws})


def test_a_departure_that_runs_do_not_show_is_no_problem():
    from bayes_scaling.diagnose import _width_problems

    law = bs.get_law("bounded_metric:loss_bent")
    departure, of_law = _width_problems(law, noise_of(law), frozenset(), {"bend": 1.02, "bend_1": 1.0, "k": 0.9})
    assert not departure.serious
    assert "as it should be where runs do not depart" in str(departure)
    assert of_law.serious
    assert "about k" in str(of_law)
