"""Answers written for people: predictions, decisions, plans, targets, and what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.decision import beyond_text
from bayes_scaling.errors import InputError
from bayes_scaling.law import Law
from bayes_scaling.prediction import FAR
from bayes_scaling.records import allocation_records, prediction_records
from bayes_scaling.robustness import Change
from bayes_scaling.units import compute_text, count_text, quantity_text

if TYPE_CHECKING:
    import xarray


_UNTESTED = "beyond one decade no run has tested the law"
_ODD = 4.0  # decades beyond the runs, from which on a point looks as if it were in another unit
_SELDOM = 0.05  # probability that a target is reached, below which no interval of what it takes has an end


def describe(found: xarray.Dataset) -> str:
    """Return an answer in words, as the command line prints it.

    Parameters
    ----------
    found : what `predict`, `allocate`, `allocate_target`, their averages over laws, `decide`, `plan` or `compute_multiplier` returned

    Raises
    ------
    InputError
        If it is none of them.

    Examples
    --------
    >>> print(bs.describe(bs.decide("chinchilla", {"compute": 5.76e23}, published="besiroglu")).splitlines()[1])
    given compute 5.76e23
    """
    about = getattr(found, "attrs", {})
    for mark, text in _ANSWERS:
        if mark in about or mark in getattr(found, "dims", ()):
            return text(found)
    known = "predict, allocate, allocate_target, decide, plan or compute_multiplier"
    raise InputError(f"describe takes what {known} returned; a fit, a comparison and a forecast of a curve are printed as they are")


def prediction_text(found: xarray.Dataset) -> str:
    """Return a table of predictions, a line a point: a new measurement and the curve, medians with 90 % intervals."""
    rows = prediction_records(found)
    names = [str(name) for name, values in found.data_vars.items() if values.dims == ("point",) and name != "decades_beyond"]
    widths = {name: max(12, len(name) + 2) for name in names}
    lines = [
        *_weights(found.attrs),
        "".join(f"{name:>{width}}" for name, width in widths.items())
        + f"    {'new ' + found.attrs['output'] + ' (90 %)':28}curve (90 %)                decades beyond the runs",
    ]
    for row in rows:
        spans = [f"{part['median']:.4f} [{part['q05']:.4f}, {part['q95']:.4f}]" for part in (row, row["expected"])]
        lines.append(
            "".join(f"{row[name]:>{width}.4g}" for name, width in widths.items())
            + f"    {spans[0]:28}{spans[1]:28}{row['decades_beyond']:.1f}"
        )
    if found.attrs.get("read"):
        lines.append(f"points: {found.attrs['read']}, as the runs were read")
    if found.attrs["drift"] and any(row["decades_beyond"] > 0 for row in rows):
        lines.append("a new measurement: beyond the runs the law may be off as well (drift 0 takes it for the truth; forward checks it)")
    furthest = max(row["decades_beyond"] for row in rows)
    if furthest > _ODD:
        lines.append(f"{furthest:.0f} decades beyond the runs: are the points in the units in which they were read?")
    elif furthest > FAR:
        lines.append(_UNTESTED)
    if found.attrs["assumed"]:
        lines.append(f"a new measurement: {found.attrs['assumed']}, the median of the runs, as the points do not say")
    lines += _distrust(found.attrs)
    return "\n".join(lines)


def decision_text(found: xarray.Dataset) -> str:
    """Return a law's question and its answers: medians with 90 % intervals, or the values of a published set."""
    drawn = found.sizes["chain"] * found.sizes["draw"] > 1
    lines = [f"{found.attrs['law']}: {found.attrs['question']}{' (medians with 90 % intervals)' if drawn else ''}"]
    given = [str(name) for name in found.data_vars if str(name).startswith("given_")]
    lines += _distrust(found.attrs)
    for i in range(found.sizes["case"]):
        case = found.isel(case=i)
        told = [f"{name.removeprefix('given_')} {quantity_text(float(case[name]))}{beyond_text(case[name], i)}" for name in given]
        lines.append(f"given {', '.join(told)}")
        for name, values in case.data_vars.items():
            if name not in given:
                shown = _interval(values, quantity_text) if drawn else quantity_text(float(values.squeeze()))
                lines.append(f"  {name:24} {shown:36} {values.attrs['unit']:12} {values.attrs['meaning']}{beyond_text(values, i)}")
    return "\n".join(lines)


def allocation_text(plan: xarray.Dataset, rows: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Return each budget's optimum with 90 % intervals, the decision, what it costs and can lose, and how far it lies from the data.

    Parameters
    ----------
    rows : the plan's records, where more is known than the plan holds: another plan to compare with
    """
    about = plan.attrs
    rows = allocation_records(plan) if rows is None else rows
    lines = [f"{about['law']}, {about['noise']} noise; {about['shares']} = {about['cost']}; medians with 90 % intervals"]
    given = [name for name in about["further"].split(",") if name and name not in rows[0]["chosen"]]
    lines += _weights(about)
    if given:
        lines.append(f"given: {', '.join(f'{name} {quantity_text(rows[0]["decision"][name])}' for name in given)}")
    if about["limits"]:
        lines.append(f"limits: {about['limits']}")
    lines += _distrust(about)
    for i, row in enumerate(rows):
        amount = _written(about["unit"])(row[about["shares"]])
        lines += ["", f"{about['shares']} {amount}", *_one_allocation(plan.isel(budget=i), row)]
    return "\n".join(lines)


def _distrust(about: Mapping[str, Any]) -> list[str]:
    """Say that an answer is from a fit that is not to be trusted, if it is."""
    return [] if about["trustworthy"] else ["DO NOT TRUST: the fit has serious problems (see the fit's diagnosis)"]


def _weights(about: Mapping[str, Any]) -> list[str]:
    """Say which laws an answer is the average of."""
    if "weights" not in about:
        return []
    return [f"average of {', '.join(f'{law} {weight:.2f}' for law, weight in zip(about['laws'], about['weights'], strict=True))}"]


def _written(unit: str) -> Callable[[float], str]:
    """Return how amounts of a unit are written."""
    return {"FLOP": compute_text, "count": count_text}.get(unit, quantity_text)


def _plan(values: Mapping[str, float], write: Mapping[str, Callable[[float], str]]) -> str:
    """Write what a plan has of each input: ``70.0B params, 1.40T tokens``; ``compute 5e23 FLOP`` of what is no count."""
    return ", ".join(f"{how(values[name])} {name}" if how is count_text else f"{name} {how(values[name])}" for name, how in write.items())


def _one_allocation(one: xarray.Dataset, row: Mapping[str, Any]) -> list[str]:
    about, decision, shares, answer = one.attrs, row["decision"], one.attrs["shares"], one.attrs["answer"]
    budget, (first, second) = row[shares], row["inputs"]
    unit = " nat/token" if about["output"] == "loss" else ""
    write = {name: _written(one[name].attrs.get("unit", "count")) for name in (first, second)}
    chosen = f"held {about['held']}" if about["held"] else "decision"
    if about["risk"] != "mean":
        chosen += f" ({about['risk']})"
    further = "".join(f", {name} {quantity_text(decision[name])}" for name in row["chosen"])

    said = [
        *((f"best {name}", _interval(one[name], write[name])) for name in (first, second)),
        (about["ratio"].replace("_", " "), _interval(one[about["ratio"]], lambda v: f"{v:.3g}")),
        *((f"best {name}", _interval(one[name], quantity_text)) for name in row["chosen"]),
        (f"best {about['output']}", f"{_interval(one[answer], lambda v: f'{v:.4f}')}{unit}, of each draw at its own best plan"),
        (chosen, f"{_plan(decision, write)}{further}"),
        (f"its {about['output']}", _predictive(row, answer)),
        (
            "expected regret",
            f"{decision[f'expected_regret_{answer}']:.2g}{unit}, the worth of "
            f"{decision[f'expected_regret_{shares}'] / budget:.2%} of the {shares}",
        ),
    ]
    band, (low, high) = row["band"], (row["band"][f"{first}_{end}"] for end in ("low", "high"))
    if np.isfinite(low):
        share = f"{100 * band['share']:.3g} %"
        text = f"{write[first](low)} to {write[first](high)} {first}: any of these wastes no more than {share} of the {shares}"
        said.append((f"within {share}", text))
    said += _spending(row, budget)
    if "versus" in row:
        other = row["versus"]
        gain = [-value if answer == "loss" else value for value in (other["difference"], other["q95"], other["q05"])]
        best, low, high = (f"{round(value, 4) + 0.0:.4f}" for value in (gain[0], min(gain), max(gain)))  # zero has no sign
        spent = _written(about["unit"])(other[f"other_{shares}"])
        better = f"the decision is better with probability {other['probability']:.3f}, by {best} [{low}, {high}]"
        said.append(("versus", f"{_plan(other, write)} ({spent}): {better}"))
    said += _reach(row)
    width = max(17, *(len(label) for label, _ in said))
    return [f"  {label:{width}} {text}" for label, text in said]


def _predictive(row: Mapping[str, Any], answer: str) -> str:
    """Say which output the decision has: its mean over the draws, where the curve lies with 90 % probability, and where a run does."""
    new, curve = row["predictive"]["new"], row["predictive"]["expected"]
    text = f"expected {row['decision'][f'expected_{answer}']:.4f}, 90 % interval [{curve['q05']:.4f}, {curve['q95']:.4f}]"
    if np.isfinite(new["q05"]):
        beyond = row["decades_beyond"] > 0 or any(row["decades_beyond_each"].values())
        drift = " and drift beyond the runs" if beyond and row["drift"] else ""
        text += f"; of one run, with scatter{drift}, [{new['q05']:.4f}, {new['q95']:.4f}]"
    return text


def _spending(row: Mapping[str, Any], budget: float) -> list[tuple[str, str]]:
    """Say what a plan spends, where that is more than one number; with a label."""
    spent, parts = row["spending"], []
    if not spent:
        return []
    if spent.get("serving") and not row["training_budget"]:
        parts.append(f"{compute_text(spent['training'])} of training, {compute_text(spent['serving'])} of serving")
    whole = spent["spent"] if "spent" in spent else spent["compute"]
    if whole < budget * (1 - 1e-6):
        parts.append(f"the limits leave {1 - whole / budget:.1%} unspent")
    if "gpu_hours" in spent:
        parts.append(f"{spent['gpu_hours']:.4g} GPU-hours{' of training' if 'training' in spent else ''}")
    if "dollars" in spent:
        parts.append(f"{spent['dollars']:.4g} dollars{' of both' if spent.get('serving') and not row['training_budget'] else ''}")
    said = [("spends", "; ".join(parts))] if parts else []
    if row["training_budget"]:
        price = f", {spent['serving_dollars']:.4g} dollars" if "serving_dollars" in spent else ""
        share = spent["serving"] / spent["training"]
        said.append(("serving", f"{compute_text(spent['serving'])}{price}, beside the budget: {share:.3g} times the training"))
    return said


def _reach(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say how far a plan lies beyond the data, and what others have seen there; with labels."""
    said = []
    each = {name: value for name, value in row["decades_beyond_each"].items() if value > 0}
    if row["decades_beyond"] > 0 or each:
        said.append(("extrapolated", _beyond(row["decades_beyond"], ", ".join(f"{value:.1f} in {name}" for name, value in each.items()))))
    return said + [("caution", text) for text in row["cautions"]]


def _beyond(decades: float, named: str = "") -> str:
    """Say how far beyond the runs something lies."""
    far = f"; {_UNTESTED}" if decades > FAR else ""
    return f"{decades:.1f} decades beyond the runs{f' ({named})' if named else ''}{far}"


def target_text(plan: xarray.Dataset) -> str:
    """Return what each target needs, with 90 % intervals."""
    cost = f"{plan.attrs['shares']} = {plan.attrs['cost']}{'; limits: ' + plan.attrs['limits'] if plan.attrs['limits'] else ''}"
    lines = [f"{plan.attrs['law']}, {plan.attrs['noise']} noise; {cost}; medians with 90 % intervals", *_weights(plan.attrs)]
    lines += _distrust(plan.attrs)
    for i, target in enumerate(np.asarray(plan["target"])):
        one = plan.isel(target=i)
        unit = " nat/token" if plan.attrs["output"] == "loss" else ""
        about, probability = plan.attrs, float(one["probability_reachable"])
        shares, inputs = about["shares"], about["inputs"].split(",")
        limit = ""
        if probability < 1 and np.isfinite(one["attainable"]).all():  # it is not where no plan keeps the limits
            limit = f"; no scale leads beyond {_interval(one['attainable'], lambda value: f'{value:.4g}')}"
        lines += ["", f"{about['output']} {target:g}{unit}: reachable with probability {probability:.3f}{limit}"]
        write = {shares: _written(about["unit"])} | {name: _written(one[name].attrs.get("unit", "count")) for name in inputs if name in one}
        for name in (shares, *inputs):
            if name in one and probability >= _SELDOM:
                lines.append(f"  {'least ' + name:15} {_interval(one[name], write[name])}")
        if f"decision_{shares}" in one and np.isfinite(float(one[f"decision_{shares}"])):
            decided = {name: float(one[f"decision_{name}"]) for name in (shares, *inputs)}
            plan_text = _plan(decided, {name: write[name] for name in inputs})
            lines.append(f"  decision        {write[shares](decided[shares])}: {plan_text} give this {about['output']} in expectation")
            if (beyond := float(one.get("decades_beyond", 0.0))) > 0:
                lines.append(f"  extrapolated    {_beyond(beyond)}")
    return "\n".join(lines)


def robustness_text(rows: Sequence[Change], budget: float, law: Law) -> str:
    """Return how the plan moves with what was assumed, as a table; amounts are in the units of the law."""
    width = max(len(row.name) for row in rows)
    units = {item.name: item.unit for item in law.inputs}
    amount = compute_text(budget) if law.sharing is None else f"{law.shares} {_written(law.sharing.budget.unit)(budget)}"
    first, second = rows[0].decision
    write, write_rest = (_written(units[name]) for name in (first, second))
    wide, output = max(9, len(second)), law.output
    lines = [
        f"best plan at {amount}; moved: decision over that of the fit as it is; wasted: share of the {law.shares} that the "
        "fit's own decision loses if the row is right",
        f"{'':10} {'':{width}} {'runs':>5}  {'best ' + first:26} {'decision':>9} {second:>{wide}} {output:>8} {'moved':>7} {'wasted':>8}",
    ]
    for row in rows:
        best = f"{write(row.best['median'])} [{write(row.best['q05'])}, {write(row.best['q95'])}]"
        lines.append(
            f"{row.kind:10} {row.name:{width}} {row.runs:>5}  {best:26} {write(row.decision[first]):>9} "
            f"{write_rest(row.decision[second]):>{wide}} {row.expected:>8.4f} {row.moved:>7.2f} {row.wasted:>8.2%}"
            f"{'' if row.trustworthy else '  NOT TRUSTWORTHY'}"
        )
    return "\n".join(lines)


def design_text(found: xarray.Dataset) -> str:
    """Return the runs that should be done next, what each is worth, and where further runs stop paying."""
    about = found.attrs
    of_regret = about["objective"] == "regret"
    what = "the regret of the decision" if of_regret else f"the variance of {about['objective']}"
    lines = [
        f"{about['law']}: runs that most reduce {what} at {compute_text(about['target_compute'])}, {compute_text(about['spent'])} of "
        f"{compute_text(about['budget'])} in {found.sizes['run']} of {about['candidates']} candidates",
    ]
    lines += _distrust(about)
    names = [str(name) for name, values in found.data_vars.items() if values.dims == ("run",)]
    inputs = names[: names.index("compute")]
    lines.append(
        "".join(f"{name:>14}" for name in inputs)
        + f"{'compute':>16}{'left':>9}{'alone':>9}"
        + (f"{'saves':>16}  pays" if of_regret else "")
    )
    for i in range(found.sizes["run"]):
        one = found.isel(run=i)
        lines.append(
            "".join(f"{quantity_text(float(one[name])):>14}" for name in inputs)
            + f"{compute_text(float(one['compute'])):>16}{float(one['remaining']):>9.3f}{float(one['gain']):>9.3f}"
            + (f"{compute_text(float(one['saves'])):>16}  {'yes' if bool(one['pays']) else 'no'}" if of_regret else "")
        )
    share = f"share of {'the expected regret' if of_regret else 'the variance'}"
    lines.append(f"left: {share} that is left after it and those above; alone: what leaving out only this run would add to it")
    if of_regret:
        ratio = about["waste_now"] / about["target_compute"]
        lines += [
            f"expected regret now {about['regret_now']:.2g} ({ratio:.2%} of the compute), after these runs {about['regret_after']:.2g} "
            f"+- {about['regret_after_se']:.1g} ({about['waste_after'] / about['target_compute']:.2%})",
            "saves: FLOP that the decision is expected to waste no longer; "
            + (
                f"of the budgets tried, {compute_text(about['pays_until'])} pays best"
                if about["pays_until"]
                else "at no budget tried do the runs save what they cost: for this decision, what has been run is enough"
            ),
        ]
    others = dict(
        zip(found["spent"].values.tolist(), found["remaining_at"].values.tolist(), strict=True)
    )  # the same runs may be best twice
    others = {cost: left for cost, left in others.items() if abs(cost / about["spent"] - 1) > 1e-6}
    spent = ", ".join(f"{compute_text(cost)}: {left:.3f}" for cost, left in others.items())
    return "\n".join([*lines, *([f"share left by other plans, by what they cost: {spent}"] if others else [])])


def multiplier_text(found: xarray.Dataset, names: tuple[str, str] = ("the recipe", "the other")) -> str:
    """Return how much compute one recipe is worth of the other, at each compute, and where they cross."""
    about = found.attrs
    lines = [
        f"compute that {names[1]} needs for the {about['output']} of {names[0]}, over what {names[0]} needs; medians with 90 % intervals",
        f"{'compute':>16}  {'multiplier':26} {'P(better)':>9} {'P(as tested)':>13}  beyond the runs",
    ]
    if not about["trustworthy"]:
        lines.append("DO NOT TRUST: a fit has serious problems (see the fits' diagnoses)")
    for i in range(found.sizes["budget"]):
        one = found.isel(budget=i)
        beyond = float(one["decades_beyond_compute"])
        lines.append(
            f"{compute_text(float(one['budget'])):>16}  {_interval(one['multiplier'], lambda v: f'{v:.3g}'):26} "
            f"{float(one['probability_better']):>9.3f} {float(one['probability_holds']):>13.3f}  {beyond:.1f} decades"
            + ("; no run has tested either law there" if beyond > FAR else "")
        )
    crossing = np.asarray(found["crossing"]).ravel()
    crossing = crossing[np.isfinite(crossing)]
    where = f", at {_interval(crossing, compute_text)}" if len(crossing) else ""
    lines.append(f"the curves cross with probability {about['probability_crossing']:.3f}{where} (up to ten times the largest compute)")
    lines.append(f"as tested: the recipe that is better at {compute_text(about['compared_at'])}, where both have runs, is still better")
    return "\n".join(lines)


def _interval(values: Any, write: Any) -> str:
    low, middle, high = (write(float(value)) for value in np.quantile(np.asarray(values), [0.05, 0.5, 0.95], method="nearest"))
    return f"{middle} [{low}, {high}]"


# An attribute or a dim that only this kind of answer has.
_ANSWERS: tuple[tuple[str, Callable[[xarray.Dataset], str]], ...] = (
    ("question", decision_text),
    ("assumed", prediction_text),
    ("objective", design_text),
    ("probability_crossing", multiplier_text),
    ("target", target_text),
    ("budget", allocation_text),
)
