"""Columns that a fit does not use: found where residuals depend on them, and only there."""

import numpy as np
import pytest
from conftest import simulated_runs

import bayes_scaling as bs
from bayes_scaling.engine.convergence import normal_scores
from bayes_scaling.runs import Runs
from bayes_scaling.unused import _probability, _square, unused_problems

LAW = bs.get_law("chinchilla")


def table(runs: Runs, **columns: np.ndarray) -> Runs:
    read = {name: runs[name] for name in ("params", "tokens", "loss")}
    found = bs.runs_from_columns(read)
    return Runs(found.columns, found.lines, found.source, unused={name: np.asarray(cells, object) for name, cells in columns.items()})


@pytest.fixture(scope="module")
def runs():
    return simulated_runs(n=60, seed=4, scatter=0.01)


@pytest.fixture(scope="module")
def curve(runs):
    return LAW.predict(runs.columns, LAW.published["besiroglu"].values)


def test_a_column_that_residuals_depend_on_is_named(runs, curve):
    corpus = np.where(np.arange(60) % 3 == 0, "old", "new")
    shifted = curve * np.exp(0.01 * np.random.default_rng(0).normal(size=60) + np.where(corpus == "old", 0.03, 0.0))
    own = table(bs.runs_from_columns({**{name: runs[name] for name in ("params", "tokens")}, "loss": shifted}), corpus=corpus)
    (problem,) = unused_problems(LAW, own, curve)
    assert not problem.serious
    for piece in ("column 'corpus'", "which is not used", "'old'", "'new'", "by chance", "map={'group': 'corpus'}"):
        assert piece in str(problem), piece
    difference = [float(word) for word in str(problem).replace("%", " ").split() if word.startswith(("+", "-"))]
    assert max(difference) - min(difference) == pytest.approx(3.0, abs=1.0)
    # In one outlying run there is nothing for a column to explain.
    far = curve * np.exp(0.01 * np.random.default_rng(0).normal(size=60) + np.where(np.arange(60) == 7, 1.0, 0.0))
    assert not unused_problems(LAW, table(bs.runs_from_columns({**own.columns, "loss": far}), corpus=corpus), curve)


def test_what_goes_with_size_is_not_taken_for_it(runs, curve):
    """A bend of the runs in size, which the law has not: the name of the size, or what is large and small, explains none of it."""
    place = np.log(runs["params"]) - np.log(runs["params"]).mean()
    bent = {**{name: runs[name] for name in ("params", "tokens")}, "loss": curve * np.exp(0.02 * place**2 / place.var())}
    noisy = {**bent, "loss": bent["loss"] * np.exp(0.01 * np.random.default_rng(1).normal(size=60))}
    names = [f"{value:.1e}" for value in runs["params"]]
    own = table(bs.runs_from_columns(noisy), size=names, scale=np.where(place > 0, "large", "small"))
    assert not unused_problems(LAW, own, curve)


def test_by_chance_as_often_as_it_says():
    rng, found = np.random.default_rng(0), []
    for _ in range(2000):
        count = int(rng.integers(20, 60))
        label = np.unique(rng.integers(0, 4, count), return_inverse=True)[1]
        inputs = [rng.normal(size=count) for _ in range(2)]
        scores = normal_scores(rng.standard_t(2, size=count))
        found.append(_probability(scores, _square(inputs, count), np.eye(label.max() + 1)[label]))
    for level in (0.5, 0.1, 0.01):
        assert np.mean(np.array(found) < level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 2000))


def test_it_is_of_the_table_that_was_read(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss,corpus\n" + "".join(f"{10.0**n},1e{n + 2},{5 - 0.1 * n},{'ab'[n % 2]}\n" for n in range(6, 12)))
    runs = bs.read_runs(path)
    assert runs.unused["corpus"].tolist() == list("ababab")
    assert runs.subset(runs["params"] > 1e8).unused["corpus"].tolist() == list("bab")
    grouped = bs.read_runs(path, map={"group": "corpus"})
    assert not grouped.unused
