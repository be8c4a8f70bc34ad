"""decide(): the question that a law exists to answer, answered draw by draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.drift import decades_beyond, told_of
from bayes_scaling.errors import InputError, nearest
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Input, Law, get_law
from bayes_scaling.quantities import quantity
from bayes_scaling.runs import Runs

if TYPE_CHECKING:
    import xarray


def decide(source: Fit | Law | str, given: Mapping[str, Any] | None = None, *, published: str | None = None) -> xarray.Dataset:
    """Answer a law's question from a fit, draw by draw, or from one of its published parameter sets.

    Parameters
    ----------
    source : a fit, or a law (or its name) together with ``published``
    given : what the question needs, by name in base units (see ``Law.decision.given``); numbers, or arrays of one shape (case,)
    published : name of a published parameter set

    Returns
    -------
    Dataset with the answers on dims chain, draw, case (a published set: one chain of one draw; attributes ``unit`` and ``meaning``), and
    what was given on dim case. What is of an input of the law (its name is part of it, in the same unit) has an attribute ``beyond``: for
    each case, how many decades its median lies beyond the runs

    Raises
    ------
    InputError
        If the law has no question of its own, something is missing or impossible, or no such set was published.

    Examples
    --------
    >>> float(bs.decide("chinchilla", {"compute": 5.76e23}, published="besiroglu")["params"].squeeze()) // 1e9
    72.0
    """
    import jax
    import xarray

    law = source.law if isinstance(source, Fit) else with_set(get_law(source), published)
    decision = law.decision
    if decision is None:
        raise InputError(f"law '{law.name}' has no question of its own: use predict or allocate")
    values = _given(law, given or {})
    parameters = source.parameters() if isinstance(source, Fit) else _published(law, published)
    with jax.enable_x64(True):
        wide = {name: np.asarray(draws, float)[..., None] for name, draws in parameters.items()}
        answers = jax.jit(decision.answer)(wide, values)
    runs = source.runs if isinstance(source, Fit) else None
    shape = (*next(iter(parameters.values())).shape, len(next(iter(values.values()))))
    dims = ("chain", "draw", "case")
    data: dict[str, Any] = {}
    for item in decision.answers:
        drawn = np.broadcast_to(np.asarray(answers[item.name], float), shape)
        data[item.name] = dims, drawn, {"unit": item.unit, "meaning": item.meaning, **_reach(law, runs, item, drawn)}
    for item in decision.given:
        data[f"given_{item.name}"] = "case", values[item.name], _reach(law, runs, item, values[item.name][None, None])
    return xarray.Dataset(
        data,
        attrs={
            "law": law.name,
            "question": decision.question,
            "trustworthy": int(source.diagnosis.ok) if isinstance(source, Fit) else 1,
        },
    )


def _reach(law: Law, runs: Runs | None, item: Input, values: np.ndarray) -> dict[str, list[float]]:
    """Return how far the medians of what is of one of the law's inputs, shape (chain, draw, case), lie beyond the runs, in decades."""
    if runs is None:
        return {}
    for known in law.inputs:
        same = item.name == known.name or item.name.startswith(f"{known.name}_") or item.name.endswith(f"_{known.name}")
        if same and item.unit == known.unit:
            middle = np.median(values, axis=(0, 1))
            return {"beyond": decades_beyond({known.name: told_of(runs, known)}, {known.name: middle}).tolist()}
    return {}


def beyond_text(values: xarray.DataArray, case: int) -> str:
    """Say how far an answer, or what was given, lies beyond the runs."""
    reach = values.attrs["beyond"][case] if "beyond" in values.attrs else 0.0
    return f" ({reach:.1f} decades beyond the runs)" if 0.05 < reach < np.inf else ""


def with_set(law: Law, published: str | None) -> Law:
    """Return the law, or its form for the other input that a set was published for."""
    return next((item for item in (law, *law.alternatives.values()) if published in item.published), law)


def _given(law: Law, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
    decision = law.decision
    assert decision is not None  # decide() has refused such laws
    names = [item.name for item in decision.given]
    for name in given:
        if name not in names:
            raise InputError(f"the question of law '{law.name}' takes no '{name}'{nearest(name, names)}")
    values = {}
    for name in names:
        if name not in given and name not in decision.optional:
            raise InputError(f"the question of law '{law.name}' needs '{name}' ({decision.question}); it takes {', '.join(names)}")
        values[name] = np.atleast_1d(np.asarray(given.get(name, decision.optional.get(name)), dtype=float))
        kind = quantity(name)
        for value in values[name][~kind.admits(values[name])]:
            raise InputError(f"{name} = {value:g} must be {kind.range_text()}")
    return dict(zip(values, np.broadcast_arrays(*values.values()), strict=True))


def _published(law: Law, name: str | None) -> dict[str, np.ndarray]:
    if name is None or name not in law.published:
        known = [key for item in (law, *law.alternatives.values()) for key in item.published]
        hint = nearest(name, known) if name else f": choose one of {', '.join(known)}"
        raise InputError(f"law '{law.name}' has no published set '{name or ''}'{hint}")
    return {key: np.full((1, 1), value) for key, value in law.published[name].values.items()}
