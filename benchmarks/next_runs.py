"""Do planned runs lead to better decisions? Plans against isoFLOP grids, random and space-filling designs of the same cost.

    python benchmarks/next_runs.py [TRUTHS]

Truths lie about the published replication of the Chinchilla law, exponents a quarter and terms a half apart (`simulation.py`). Each has a
pilot of 12 small runs with scatter of 1 % (Student-t, 4 degrees of freedom), 300 times below the target in compute. Then each
design spends one per cent of the target's compute, or less, on further runs; the law is fitted to pilot and runs, the size of least
expected loss is chosen, and its regret is worked out with the true parameters. All fits are `bayes_scaling.fit_many`: once with the law's
own priors, which know much less than how truths are drawn here, and once with priors that are how they are drawn.

* plan: `bayes_scaling.plan` on the pilot's posterior
* isoFLOP: three levels of compute a factor 3 apart, four sizes about the pilot's optimum of each, at a third of the budget each
* space-filling: a Sobol sequence over ln size and ln compute, until the budget is spent
* random: sizes and compute uniform in logs, until the budget is spent
* none: the pilot alone
"""

import sys
import time
from typing import Any

import numpy as np
from scipy.stats import qmc
from simulation import chinchilla_priors, chinchilla_truths

import bayes_scaling as bs
from bayes_scaling import optimum

LAW = bs.get_law("chinchilla")
TARGET, SHARE, SCATTER, PILOT = 1e22, 0.01, 0.01, 12
MOST = 12  # runs of a design


def measured(truth: dict[str, np.ndarray], params: np.ndarray, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scatter = SCATTER * rng.standard_t(4, size=len(params))
    return LAW.predict({"params": params, "tokens": tokens}, truth) * np.exp(scatter)


def pilot(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Twelve runs: three levels of compute from 3e18 to 3e19 FLOP, four sizes each."""
    compute = np.repeat(np.geomspace(TARGET / 3000, TARGET / 300, 3), PILOT // 3)
    params = np.sqrt(compute / 6 / 20) * np.tile(np.geomspace(1 / 3, 3, PILOT // 3), 3) * np.exp(0.05 * rng.normal(size=PILOT))
    return params, compute / 6 / params


def until_spent(compute: np.ndarray, budget: float) -> np.ndarray:
    """Which runs, in order, a budget pays for; one that it does not is passed over."""
    kept, left = [], budget
    for i, cost in enumerate(compute):
        if cost <= left and len(kept) < MOST:
            kept.append(i)
            left -= cost
    return np.array(kept, int)


def designs(fit: bs.Fit, budget: float, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {"plan": (np.empty(0), np.empty(0))}
    try:
        planned = bs.plan(fit, TARGET, budget, most_runs=MOST)
        found = {"plan": (np.asarray(planned["params"]), np.asarray(planned["tokens"]))}
    except bs.InputError as error:  # of a pilot that says next to nothing: no set of runs is expected to help, and none is done
        print(f"  no plan: {error}")

    def centre(level: float) -> float:
        return float(np.median(optimum.best_plan(optimum.problem_of(LAW), fit.parameters(), level).params))

    levels = np.repeat(budget / 3 / 4 * np.array([1 / 9, 1 / 3, 1.0]), 4)
    levels *= budget / levels.sum()
    sizes = np.concatenate([centre(level) * np.geomspace(1 / 3, 3, 4) for level in np.unique(levels)])
    found["isoFLOP"] = (sizes, np.sort(levels) / 6 / sizes)
    low, high = np.log(6 * fit.runs["params"] * fit.runs["tokens"]).min(), np.log(budget / 2)
    for name, unit in (("space-filling", qmc.Sobol(2, rng=rng).random(64)), ("random", rng.uniform(size=(64, 2)))):
        compute = np.exp(low + (high - low) * unit[:, 0])
        sizes = np.array([centre(level) for level in compute]) * 4 ** (2 * unit[:, 1] - 1)
        kept = until_spent(compute, budget)
        found[name] = (sizes[kept], (compute / 6 / sizes)[kept])
    found["none"] = (np.empty(0), np.empty(0))
    return found


def compare(every: list[dict[str, np.ndarray]], priors: dict[str, Any] | None, rng: np.random.Generator) -> None:
    """Print what each design's decisions lose over the truths."""
    count = len(every)
    start = time.time()
    pilots = []
    for truth in every:
        params, tokens = pilot(rng)
        pilots.append((params, tokens, measured(truth, params, tokens, rng)))
    runs = [bs.runs_from_columns({"params": p, "tokens": d, "loss": y}) for p, d, y in pilots]
    first = dict(bs.fit_many("chinchilla", runs, draws=500, priors=priors))
    names, tables, spent, labels = ("plan", "isoFLOP", "space-filling", "random", "none"), [], {}, []
    for i, truth in enumerate(every):
        for name, (params, tokens) in designs(first[i], SHARE * TARGET, rng).items():
            spent.setdefault(name, []).append(6 * np.sum(params * tokens) / TARGET)
            if name == "none":
                continue
            p, d, y = pilots[i]
            columns = {
                "params": np.concatenate([p, params]),
                "tokens": np.concatenate([d, tokens]),
                "loss": np.concatenate([y, measured(truth, params, tokens, rng)]),
            }
            tables.append(bs.runs_from_columns(columns))
            labels.append((i, name))
    second = dict(bs.fit_many("chinchilla", tables, draws=500, priors=priors))
    expected: dict[str, list[float]] = {name: [] for name in names}
    lost: dict[str, list[float]] = {name: [] for name in names}
    off: dict[str, list[float]] = {name: [] for name in names}
    problem = optimum.problem_of(LAW)
    for i, name, fit in [(i, "none", first[i]) for i in range(count)] + [(*labels[j], second[j]) for j in range(len(tables))]:
        draws = fit.parameters()
        size, tokens, _ = optimum.best_decision(problem, draws, TARGET)
        best = optimum.best_plan(problem, every[i], TARGET)
        regret = float(optimum.outcome(LAW, every[i], size, tokens) - best.outcome)
        needed = optimum.least_compute(problem, every[i], best.outcome + regret)
        expected[name].append(float(np.mean(optimum.outcome(LAW, draws, size, tokens) - optimum.best_plan(problem, draws, TARGET).outcome)))
        lost[name].append(float(1 - needed / TARGET))
        off[name].append(float(abs(np.log(size / best.params))))
    print(
        f"{count} truths, {time.time() - start:.0f} s; regret that the posterior expects, in 1e-3 nat/token; compute of the target that the"
    )
    print("decision wastes under the truth, and how far its size is off; differences to the plan, truth by truth")
    print(
        f"{'design':15}{'runs cost':>10}{'expected':>10}{'to the plan':>18}{'wasted':>9}{'median':>8}{'90 %':>8}{'|ln N/N*|':>11}"
        f"{'to the plan':>19}{'plan better in':>16}"
    )
    for name in names:
        foreseen, waste = 1e3 * np.array(expected[name]), np.array(lost[name])
        more, worse = foreseen - 1e3 * np.array(expected["plan"]), waste - np.array(lost["plan"])
        root = np.sqrt(count)
        to_plan = ("", "", "")
        if name != "plan":
            to_plan = (
                f"{more.mean():+.2f} +- {more.std() / root:.2f}",
                f"{worse.mean():+.2%} +- {worse.std() / root:.2%}",
                f"{np.mean(worse > 0):.2f}",
            )
        print(
            f"{name:15}{np.mean(spent[name]):>10.2%}{foreseen.mean():>10.2f}{to_plan[0]:>18}{waste.mean():>9.2%}{np.median(waste):>8.2%}"
            f"{np.quantile(waste, 0.9):>8.2%}{np.mean(off[name]):>11.3f}{to_plan[1]:>19}{to_plan[2]:>16}",
            flush=True,
        )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    rng = np.random.default_rng(7)
    every = chinchilla_truths(count, rng)
    for label, priors in (("the law's own priors", None), ("priors that are how truths are drawn", chinchilla_priors())):
        print(f"\n{label}")
        compare(every, priors, rng)


if __name__ == "__main__":
    main()
