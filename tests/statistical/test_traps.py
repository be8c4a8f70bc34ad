"""Traps that others fell into, and that the tool itself points out: runs far off under thin-tailed noise, vertices of parabolas."""

import numpy as np
import pytest

import bayes_scaling as bs

CHINCHILLA = bs.get_law("chinchilla")
FACTOR, DRIFT, SIZES = 16.0, 0.15, 9
BUDGETS = np.geomspace(1e18, 1e21, 5)
ASKED = 1e22


def problem_of(fit, kind):
    found = [problem for problem in fit.diagnosis.problems if problem.kind == kind]
    return found[0] if found else None


def truth(alpha, beta):
    return {"E": 1.7, "A": 0.4 * 1e9**alpha, "B": 0.4 * 2e10**beta, "alpha": alpha, "beta": beta}


def isoflop_runs(alpha, beta, scatter, drift=DRIFT):
    """Sizes within a factor of 16 of a centre that drifts off the optimum from budget to budget."""
    optima = np.asarray(CHINCHILLA.optimum(truth(alpha, beta), BUDGETS / 6)[0])
    centres = optima * (BUDGETS / BUDGETS[0]) ** drift
    steps = np.linspace(-np.log(FACTOR), np.log(FACTOR), SIZES)
    params, compute = np.ravel(centres[:, None] * np.exp(steps)), np.repeat(BUDGETS, SIZES)
    tokens = compute / (6 * params)
    loss = CHINCHILLA.predict({"params": params, "tokens": tokens}, truth(alpha, beta))
    loss = loss * np.exp(scatter * np.random.default_rng(0).normal(size=len(loss)))
    return {"params": params, "tokens": tokens, "compute": compute, "loss": loss}


def vertices(runs):
    """Approach 2, by polyfit."""
    found = []
    for budget in BUDGETS:
        rows = runs["compute"] == budget
        bend, slope, _ = np.polyfit(np.log(runs["params"][rows]), runs["loss"][rows], 2)
        found.append(np.exp(-slope / (2 * bend)))
    return np.array(found)


def best(fit):
    return np.asarray(fit.law.decision.answer(fit.parameters(), {"compute": np.array(ASKED)})["params"])


def test_best_sizes_off_parabolas_are_wrong_and_the_tool_says_so():
    alpha, beta = 0.46, 0.15
    right = float(CHINCHILLA.optimum(truth(alpha, beta), ASKED / 6)[0])
    runs, bare = isoflop_runs(alpha, beta, 0.001), isoflop_runs(alpha, beta, 0.0)

    trapped = bs.fit("frontier", {"compute": BUDGETS, "params": vertices(runs)})
    low, high = np.quantile(best(trapped), [0.05, 0.95])
    assert not low < right < high  # the trap
    told = problem_of(trapped, "parabola")
    assert not told.serious
    assert "Vertices of parabolas through isoFLOP curves are not" in str(told)
    assert "fit isoflop to the runs themselves" in str(told)

    level = np.polyfit(np.log(BUDGETS / ASKED), np.log(vertices(bare)), 1)[1]
    for law in ("isoflop", "chinchilla"):
        fit = bs.fit(law, runs)
        low, high = np.quantile(best(fit), [0.05, 0.95])
        assert low < right < high
        said = str(problem_of(fit, "parabola"))
        assert "parabolas through these 5 isoFLOP curves" in said
        assert "best params at 1e22 FLOP" in said
        side = "high" if level > np.log(right) else "low"
        percent = float(said.split(f"% too {side}")[0].split()[-1])
        assert percent / 100 == pytest.approx(abs(np.exp(level) / right - 1), abs=0.04)


def test_symmetric_curves_are_no_trap():
    fit = bs.fit("isoflop", isoflop_runs(0.3, 0.3, 0.001, drift=0.0))
    assert problem_of(fit, "parabola") is None


def test_runs_that_happen_to_cost_the_same_are_no_isoflop_curves():
    rng = np.random.default_rng(0)
    params = np.exp(rng.uniform(np.log(1e8), np.log(1e10), 60))
    tokens = np.exp(rng.uniform(np.log(1e10), np.log(1e12), 60))
    loss = CHINCHILLA.predict({"params": params, "tokens": tokens}, truth(0.46, 0.15)) * np.exp(0.001 * rng.normal(size=60))
    assert problem_of(bs.fit("chinchilla", {"params": params, "tokens": tokens, "loss": loss}), "parabola") is None


OUTLYING = {2, 3, 4, 5, 6}  # lines of the five runs that Besiroglu et al. (2024) leave out


def test_the_five_outlying_chinchilla_runs_are_named(shared_data):
    path = shared_data / "chinchilla_epoch.csv"
    robust = bs.fit("chinchilla", bs.read_runs(path))
    assert {run.line for run in robust.diagnosis.surprising} == OUTLYING
    assert set(bs.check(robust, quick=True).criticism.outlying) >= OUTLYING
    dragged = bs.fit("chinchilla", bs.read_runs(path), noise="normal")
    moved = abs(np.median(dragged.parameters()["beta"]) - np.median(robust.parameters()["beta"]))
    assert moved > 10 * robust.parameters()["beta"].std()  # the trap
    assert not dragged.diagnosis.ok
    assert "normal noise puts no run" in str(problem_of(dragged, "outliers"))
    assert "noise='student-t'" in str(problem_of(dragged, "outliers"))
    assert problem_of(robust, "outliers") is None
