"""Links that may bend: what they are, and that their intervals hold what is beyond the runs, with a misfit of the form and without."""

import jax
import numpy as np
import pytest
from scipy.special import logit

import bayes_scaling as bs
from bayes_scaling import engine
from bayes_scaling.bends import straight
from bayes_scaling.decision import decide
from bayes_scaling.model import Settings, build_model
from bayes_scaling.noise import noise_of

LINK, BENT = bs.get_law("bounded_metric"), bs.get_law("bounded_metric:bent")
LOSS = np.linspace(0.3, 2.0, 30)
VALUES = {"a": -0.7, "b": 0.95, "k": 5.0, "L0": 0.9}
DEVIATES = [name for name in BENT.parameter_names if name.startswith("bend_")]


def test_without_bends_it_is_the_law():
    flat = {**VALUES, **dict.fromkeys(DEVIATES, 0.0), "bend": 0.5}
    assert BENT.predict({"task_loss": LOSS}, flat) == pytest.approx(LINK.predict({"task_loss": LOSS}, VALUES), rel=1e-9)
    assert {name: flat[name] for name in ("bend_1", DEVIATES[-1])} == {name: straight(DEVIATES)[name] for name in ("bend_1", DEVIATES[-1])}


def test_the_departure_spreads_as_said():
    """Of unit deviates: scale * sqrt(d^3 / 3) at a distance d from the anchor, to what the discrete knots leave; none at the anchor."""
    rng = np.random.default_rng(0)
    draws = {**VALUES, "bend": 0.7, **{name: rng.normal(size=(20_000, 1)) for name in DEVIATES}}
    at = np.array([0.3, 0.6, 1.2, 2.0])
    departure = logit(BENT.predict({"task_loss": at}, draws)) - logit(LINK.predict({"task_loss": at}, VALUES))
    spread = departure.std(axis=0)
    assert spread[2] == pytest.approx(0, abs=1e-6)
    for i in (0, 1, 3):
        assert spread[i] == pytest.approx(0.7 * np.sqrt(abs(at[i] - 1.2) ** 3 / 3), rel=0.25)


@pytest.mark.parametrize(("law", "base"), [("bounded_metric:bent", "bounded_metric"), ("overtraining_error:bent", "overtraining_error")])
def test_the_needed_loss_is_found_by_search(law, base):
    """Without bends it is what the law finds in closed form; with them, the curve meets the target there."""
    law, base = bs.get_law(law), bs.get_law(base)
    flat = dict(law.checks[0].values)
    column = law.input_names[0]
    values = {name: value for name, value in flat.items() if not name.startswith("bend")}
    example = base.decision.example
    with jax.enable_x64(True):
        for target in np.linspace(0.45, 0.7, 5):
            given = {column: example[column], "target": target}
            found, exact = law.decision.answer(flat, given), base.decision.answer(values, given)
            assert float(found["needed_loss"]) == pytest.approx(float(exact["needed_loss"]), abs=1e-3)
            bends = {**flat, "bend": 0.5, "bend_2": 1.0, "bend_4": -1.0}
            needed = float(law.decision.answer(bends, given)["needed_loss"])
            assert law.predict({column: needed}, bends) == pytest.approx(target, abs=1e-3)
        out_of_reach = {column: example[column], "target": 1e-4 if law.output == "error" else 0.9999}
        assert float(law.decision.answer(flat, out_of_reach)["needed_loss"]) == 0


SETS = 40
TRIALS = 2000.0


def predicted(law, data, beyond, fixed):
    """Draws of a new accuracy at a loss beyond each of many sets of runs; shape (set, draw)."""
    noise = noise_of(law)
    weight = np.ones(data["task_loss"].shape)
    free = [item for item in (*law.parameters, *noise.parameters) if item.name not in fixed]
    keys = jax.random.split(jax.random.PRNGKey(2), len(free))
    with jax.enable_x64(True):
        density = engine.Density(build_model(law, noise, Settings(fixed)), {n: v[0] for n, v in data.items()}, weight[0])
        guess = {item.name: np.asarray(item.prior.sample(key, (SETS, 3)), float) for key, item in zip(keys, free, strict=True)}
        place = jax.vmap(jax.vmap(density.unconstrain, (0, None, None)), (0, 0, 0))
        starts = np.asarray(place(guess, data, weight))
        cpu = jax.devices("cpu")[0]
        with jax.default_device(cpu):
            found = engine.sample_many(density, data, weight, starts, cpu, chains=2, warmup=400, draws=200)
        wide = {item.name: found.sites[item.name].reshape(SETS, -1) for item in free} | fixed
        at = {"task_loss": beyond[:, None], "trials": np.full((SETS, 1), TRIALS)}
        whole = law.complete(wide)
        return np.asarray(noise.distribution(law.formula(at, whole), whole, at).sample(jax.random.PRNGKey(3)))


@pytest.mark.long
@pytest.mark.parametrize("misfit", [False, True])
def test_intervals_hold_what_is_beyond_the_runs(misfit):
    """40 ladders of 24 runs, a target as far below them as half their range, from a law that is exact or bends as its prior says.

    Bounds of four standard errors of a coverage of 0.9. Where the law is exact, what is wider than its own intervals is the price.
    """
    rng = np.random.default_rng(8)
    prior = {item.name: np.asarray(item.prior.sample(jax.random.PRNGKey(i), (SETS, 1))) for i, item in enumerate(BENT.parameters)}
    truth = {**prior, "floor": 0.25, "foot": rng.uniform(0.8, 1.1, (SETS, 1)), "k": rng.uniform(3, 8, (SETS, 1))}
    truth |= {} if misfit else dict.fromkeys(DEVIATES, 0.0)
    with jax.enable_x64(True):
        truth = BENT.complete(truth)
    loss = np.tile(np.linspace(0.9, 1.5, 24), (SETS, 1))
    beyond = np.full(SETS, 0.6)
    data = {"task_loss": loss, "trials": np.full(loss.shape, TRIALS)}
    data["accuracy"] = rng.binomial(int(TRIALS), BENT.predict({"task_loss": loss}, truth)) / TRIALS
    measured = rng.binomial(int(TRIALS), BENT.predict({"task_loss": beyond[:, None]}, truth)[:, 0]) / TRIALS
    covered, width = {}, {}
    for law in (LINK, BENT):
        low, high = np.quantile(predicted(law, data, beyond, {"floor": 0.25}), [0.05, 0.95], axis=1)
        covered[law.name] = np.mean((measured >= low) & (measured <= high))
        width[law.name] = np.median(high - low)
    print(f"misfit {misfit}: coverage {covered}, median width {width}")
    assert covered[BENT.name] > 0.9 - 4 * np.sqrt(0.09 / SETS)
    if misfit:
        assert covered[LINK.name] < covered[BENT.name]
    else:
        assert width[BENT.name] < 2.5 * width[LINK.name]


def test_deviates_at_their_prior_are_no_problem():
    loss = np.linspace(0.9, 1.5, 20)
    accuracy = np.random.default_rng(1).binomial(2000, LINK.predict({"task_loss": loss}, VALUES)) / 2000
    runs = bs.runs_from_columns({"task_loss": loss, "accuracy": accuracy, "trials": np.full(20, 2000.0)})
    fit = bs.fit(BENT, runs, fix={"floor": 0.25}, draws=250)
    assert not any("bend_" in str(problem) for problem in fit.diagnosis.problems), str(fit)
    shown = str(fit)
    assert "bend_3" not in shown
    assert "bend_1 to bend_8" in shown
    answer = decide(fit, {"task_loss": 0.8, "target": 0.6})
    assert np.all(np.isfinite(answer["accuracy"]))
