"""Results as plain records of text and numbers, in the form that ``--json`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.calibration import Calibration
from bayes_scaling.checking import Check
from bayes_scaling.comparison import Comparison
from bayes_scaling.fitted import Fit
from bayes_scaling.forward import Forward
from bayes_scaling.law import Input, Law
from bayes_scaling.noise import noise_of
from bayes_scaling.priors import prior_text
from bayes_scaling.sensitivity import Left

if TYPE_CHECKING:
    import xarray


def law_record(law: Law) -> dict[str, Any]:
    """Return what a law is: texts, inputs with units, priors, and all published parameter sets (of every input that it can take)."""
    variants = {item.input_names[0]: item for item in (law, *law.alternatives.values())} if law.alternatives else {}
    return {
        "title": law.title,
        "equation": law.equation,
        "citation": law.citation,
        "use": law.use,
        "avoid": law.avoid,
        "inputs": _described(law.inputs),
        "output": law.output,
        "any_one_of": list(variants),
        "variants": [item.name for item in law.variants.values()],
        "parameters": {item.name: {"prior": prior_text(item.prior), "meaning": item.meaning} for item in law.parameters},
        "noise": noise_of(law).name,
        "decision": law.decision
        and {
            "question": law.decision.question,
            "given": _described(law.decision.given),
            "answers": _described(law.decision.answers),
            "optional": dict(law.decision.optional),
            "example": dict(law.decision.example),
        },
        "sharing": law.sharing
        and {
            "budget": _described((law.sharing.budget,)),
            "between": list(law.sharing.inputs),
            "spends": law.sharing.text,
            "given": _described(law.sharing.given),
        },
        "published": {
            name: {"values": dict(item.values), "standard_errors": dict(item.standard_errors), "source": item.source, "note": item.note}
            for variant in (variants.values() or [law])
            for name, item in variant.published.items()
        },
    }


def _described(items: tuple[Input, ...]) -> dict[str, dict[str, str]]:
    return {item.name: {"unit": item.unit, "meaning": item.meaning} for item in items}


def decision_record(found: xarray.Dataset) -> dict[str, Any]:
    """Return what `bayes_scaling.decide` found: one record a case, with quantiles over the draws."""
    given = [str(name) for name in found.data_vars if str(name).startswith("given_")]
    cases = [
        {
            "given": {name.removeprefix("given_"): float(found[name][i]) for name in given},
            "answers": {str(name): _answer(values, i) for name, values in found.data_vars.items() if str(name) not in given},
        }
        for i in range(found.sizes["case"])
    ]
    return {
        "law": found.attrs["law"],
        "question": found.attrs["question"],
        "cases": cases,
        "trustworthy": bool(found.attrs["trustworthy"]),
    }


def _answer(values: xarray.DataArray, case: int) -> dict[str, float]:
    """Return an answer's quantiles, and where it is of an input, how far it lies beyond the runs."""
    reach = {"decades_beyond": values.attrs["beyond"][case]} if "beyond" in values.attrs else {}
    return {**_quantiles(values[..., case]), **reach}


def fit_record(fit: Fit, out: str | None = None) -> dict[str, Any]:
    """Return a fit's parameters with intervals, diagnostics, notes and timing."""
    diagnosis, told = fit.diagnosis, fit.attributes  # which are read anew at each access
    return {
        "law": fit.law.name,
        "n_runs": len(fit.runs),
        "noise": fit.noise.name,
        "method": told["method"],
        "device": told["device"],
        "parameters": fit.summary(),
        "fixed": dict(fit.fixed),
        "groups": list(fit.groups),
        "diagnostics": {
            "ok": diagnosis.ok,
            "divergences": diagnosis.divergences,
            "max_rhat": diagnosis.max_rhat,
            "min_ess": diagnosis.min_ess,
            "problems": [str(problem) for problem in diagnosis.problems if problem.serious],
            "notes": [str(problem) for problem in diagnosis.problems if not problem.serious],
            "surprising_runs": [vars(run) for run in diagnosis.surprising],
        },
        "notes": list(fit.runs.notes),
        "timing": told["timing"],
        "out": out,
    }


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison of laws: leave-one-out scores with differences to the best, weights, and how held-out runs were forecast."""
    return {
        "n_runs": comparison.runs,
        "best": comparison.rows[0].name,
        "laws": {
            row.name: {
                "elpd_loo": row.elpd,
                "se": row.se,
                "difference": row.difference,
                "difference_se": row.difference_se,
                "probability_best": row.probability,
                "p_loo": row.effective_parameters,
                "pareto_k_bad": len(row.large_k),
                "pareto_k_bad_left": len(row.bad),
                "weight": row.weight,
                "converged": row.converged,
                "holdout": row.holdout and vars(row.holdout),
            }
            for row in comparison.rows
        },
    }


def forward_record(found: Forward) -> dict[str, Any]:
    """Return a forward validation: means with standard errors by law, weights, and each cut-off."""
    splits = range(found.scores.sizes["split"])
    return {
        "by": found.by,
        "cuts": found.scores["split"].values.tolist(),
        "laws": {law: {**row, "splits": [found.of_split(law, i) for i in splits]} for law, row in found.summary.items()},
        "weights": dict(found.weights),
        "drift": {law: drift.mean for law, drift in found.drift.items()},
    }


def check_record(found: Check) -> dict[str, Any]:
    """Return what was examined about a fit, and the warnings in words."""
    criticism = found.criticism
    return {
        "law": found.fit.law.name,
        "ok": not found.warnings,
        "warnings": list(found.warnings),
        "prior_and_posterior": {name: {"width": found.fit.diagnosis.width.get(name), **vars(item)} for name, item in found.power.items()},
        "runs_left_out": [_left_record(item) for item in found.runs],
        "budgets_left_out": [_left_record(item) for item in found.budgets],
        "other_noise": [{**_left_record(item.left), "elpd": item.difference, "elpd_se": item.difference_se} for item in found.noises],
        "patterns": [{**vars(item), "found": item.found} for item in criticism.patterns],
        "levels": {"uniform": criticism.levels.inside, "probability": criticism.levels.probability},
        "unexplained_runs": [vars(run) for run in criticism.unexplained],
        "outlying_runs": list(criticism.outlying),
    }


def calibration_record(found: Calibration) -> dict[str, Any]:
    """Return the ranks of a calibration, and how far they are from uniform."""
    return {
        "law": found.law,
        "noise": found.noise,
        "ok": found.ok,
        "probability": found.probability if found.enough else None,
        "fits": found.ranks.sizes["fit"],
        "converged": found.converged,
        "refused": found.ranks.attrs["refused"],
        "quantities": {
            name: {"probability": item.probability, "inside": item.inside, "ranks": found.ranks[name].values.tolist()}
            for name, item in found.levels.items()
        },
    }


def _left_record(item: Left) -> dict[str, Any]:
    return {"left": item.name, "shift": dict(item.shift), "widening": dict(item.widening), "exact": item.exact, "pareto_k": item.pareto_k}


def prediction_records(found: xarray.Dataset) -> list[dict[str, Any]]:
    """Return one record a point of what `bayes_scaling.predict` returned.

    ``median``, ``q05`` and ``q95`` are of a new measurement, ``expected`` of the curve. ``mean`` is the mean of the curve: the mean of a
    new measurement does not exist under Student-t scatter of the logarithm.
    """
    return [_prediction(found.isel(point=i)) for i in range(found.sizes["point"])]


def _prediction(one: xarray.Dataset) -> dict[str, Any]:
    inputs = {str(name): float(values) for name, values in one.data_vars.items() if not values.dims and name != "decades_beyond"}
    return {
        **inputs,
        **_quantiles(one["new"]),
        "mean": float(one["expected"].mean()),
        "expected": _quantiles(one["expected"]),
        "decades_beyond": float(one["decades_beyond"]),
    }


_BEYOND = "decades_beyond_"
_SPENDING = ("compute", "spent", "training", "serving", "gpu_hours", "dollars", "serving_dollars")


def _names(listed: str) -> list[str]:
    return [name for name in listed.split(",") if name]


def allocation_records(plan: xarray.Dataset) -> list[dict[str, Any]]:
    """Return one record a budget of what `bayes_scaling.allocate` returned."""
    return [_allocation(plan.isel(budget=i)) for i in range(plan.sizes["budget"])]


def _allocation(one: xarray.Dataset) -> dict[str, Any]:
    about = one.attrs
    inputs, chosen, further = (_names(about[key]) for key in ("inputs", "chosen", "further"))
    shares, answer, first = about["shares"], about["answer"], inputs[0]
    decision = {name: float(one[f"decision_{name}"]) for name in (*inputs, *further)}
    beyond = {str(name).removeprefix(_BEYOND): float(value) for name, value in one.data_vars.items() if str(name).startswith(_BEYOND)}
    return {
        shares: float(one["budget"]),
        **{name: _quantiles(one[name]) for name in (*inputs, about["ratio"], *chosen, answer)},
        "decision": {
            **decision,
            **{name: float(one[name]) for name in (f"expected_{answer}", f"expected_regret_{answer}", f"expected_regret_{shares}")},
        },
        "shares": shares,
        "inputs": inputs,
        "chosen": chosen,
        "risk": about["risk"],
        "spending": {name: float(one[f"decision_{name}"]) for name in _SPENDING if f"decision_{name}" in one and name not in decision},
        "training_budget": bool(about["training_budget"]),
        "band": {"share": about["band"], f"{first}_low": float(one["band_low"]), f"{first}_high": float(one["band_high"])},
        "drift": about["drift"],
        "predictive": {"new": _quantiles(one["new_of_decision"]), "expected": _quantiles(one[f"{answer}_of_decision"])},
        "decades_beyond": float(one["decades_beyond"]),
        "decades_beyond_each": beyond,
        "cautions": str(one["cautions"].item()).splitlines(),
        "cost": one.attrs["cost"],
        "limits": one.attrs["limits"],
        "trustworthy": bool(one.attrs["trustworthy"]),
    }


def target_records(plan: xarray.Dataset) -> list[dict[str, Any]]:
    """Return one record a target of what `bayes_scaling.allocate_target` returned."""
    return [_target(plan.isel(target=i)) for i in range(plan.sizes["target"])]


def _target(one: xarray.Dataset) -> dict[str, Any]:
    drawn = [str(name) for name, values in one.data_vars.items() if "chain" in values.dims]
    return {
        f"target_{one.attrs['output']}": float(one["target"]),
        **{name: _quantiles(one[name]) for name in drawn},
        "probability_reachable": float(one["probability_reachable"]),
        "decision": {
            name: float(one[f"decision_{name}"])
            for name in (one.attrs["shares"], *_names(one.attrs["inputs"]))
            if f"decision_{name}" in one
        },
        **({"decades_beyond": float(one["decades_beyond"])} if "decades_beyond" in one else {}),
        "cost": one.attrs["cost"],
        "trustworthy": bool(one.attrs["trustworthy"]),
    }


def design_record(found: xarray.Dataset) -> dict[str, Any]:
    """Return what `bayes_scaling.plan` chose: the runs in the order of their worth, other budgets, and what is expected of it."""
    runs = [str(name) for name, values in found.data_vars.items() if values.dims == ("run",)]
    levels = zip(found["spent"].values, found["remaining_at"].values, strict=True)
    return {
        "runs": [{name: found[name].values[i].item() for name in runs} for i in range(found.sizes["run"])],
        "budgets": [{"spent": float(spent), "remaining": float(left)} for spent, left in levels],
        **{name: value.item() if hasattr(value, "item") else value for name, value in found.attrs.items() if name != "trustworthy"},
        "trustworthy": bool(found.attrs["trustworthy"]),
    }


def multiplier_records(found: xarray.Dataset) -> dict[str, Any]:
    """Return what `bayes_scaling.compute_multiplier` found, one record a compute."""
    crossing = np.asarray(found["crossing"]).ravel()
    crossing = crossing[np.isfinite(crossing)]
    rows = [
        {
            "compute": float(one["budget"]),
            **{name: _quantiles(one[name]) for name in ("multiplier", "loss", "other_loss")},
            **{name: float(one[name]) for name in ("probability_better", "probability_holds", "decades_beyond_compute")},
        }
        for one in (found.isel(budget=i) for i in range(found.sizes["budget"]))
    ]
    return {
        "budgets": rows,
        "crossing": {"probability": found.attrs["probability_crossing"], **(_quantiles(crossing) if len(crossing) else {})},
        **{name: found.attrs[name] for name in ("law", "other_law", "output", "compared_at")},
        "trustworthy": bool(found.attrs["trustworthy"]),
    }


def _quantiles(values: Any) -> dict[str, float]:
    # Nearest rank: an infinite draw (a target out of reach) must not turn its neighbours into NaN.
    q05, median, q95 = np.quantile(np.asarray(values), [0.05, 0.5, 0.95], method="nearest")
    return {"median": float(median), "q05": float(q05), "q95": float(q95)}
