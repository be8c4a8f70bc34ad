"""Posterior predictions at new inputs, with and without the scatter from run to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.errors import InputError, nearest
from bayes_scaling.fitting import Fit
from bayes_scaling.runs import Runs

if TYPE_CHECKING:
    import xarray

FAR = 1.0  # decades beyond the data from which on a prediction is called far


def decades_beyond(runs: Runs, inputs: Mapping[str, Any]) -> np.ndarray:
    """Return how many decades inputs lie outside the range of the runs: the largest over the inputs, 0 within."""
    outside = []
    for name, values in inputs.items():
        logs, known = np.log10(np.asarray(values, float)), np.log10(runs[name])
        outside.append(np.maximum(0.0, np.maximum(logs - known.max(), known.min() - logs)))
    return np.max(np.broadcast_arrays(*outside), axis=0)


def predict(fit: Fit, at: Mapping[str, Any] | Any, *, seed: int = 0) -> xarray.Dataset:
    """Predict the law's output at new inputs, draw by draw.

    Parameters
    ----------
    at : arrays of shape (point,) by input name in base units, or a DataFrame with those columns; ``loss_se`` too where the noise
        uses stated standard errors
    seed : of the scatter

    Returns
    -------
    Dataset with dims chain, draw, point: ``expected`` (the curve) and ``new`` (a new measurement, noise included); the inputs and
    ``decades_beyond`` the data on dim point

    Raises
    ------
    InputError
        If an input is missing, not positive, or of another length.
    """
    import jax
    import xarray

    needed = (*fit.law.input_names, *fit.noise.needs)
    inputs = {}
    for name in needed:
        if name not in at:
            raise InputError(f"no '{name}' among the points to predict{nearest(name, map(str, at))}; law '{fit.law.name}' needs {needed}")
        inputs[name] = np.atleast_1d(np.asarray(at[name], dtype=float))
    inputs = dict(zip(inputs, np.broadcast_arrays(*inputs.values()), strict=True))
    for name, values in inputs.items():
        enough = values >= 0 if name in fit.noise.needs else values > 0
        bad = np.flatnonzero(~(np.isfinite(values) & enough))
        if len(bad):
            raise InputError(f"point {bad[0] + 1}: {name} = {values[bad[0]]:g} must be positive and finite")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed} must be between 0 and 2^32 - 1")
    parameters = {name: values[..., None] for name, values in fit.parameters().items()}
    with jax.enable_x64(True):
        expected = fit.law.formula(inputs, parameters)
        new = np.asarray(fit.noise.distribution(expected, parameters, inputs).sample(jax.random.PRNGKey(seed)))
    dims = ("chain", "draw", "point")
    return xarray.Dataset(
        {
            "expected": (dims, np.asarray(expected)),
            "new": (dims, new),
            **{name: ("point", values) for name, values in inputs.items()},
            "decades_beyond": ("point", decades_beyond(fit.runs, {name: inputs[name] for name in fit.law.input_names})),
        },
        attrs={"law": fit.law.name, "noise": fit.noise.name, "trustworthy": int(fit.diagnosis.ok)},
    )


def posterior_predictive(fit: Fit, *, seed: int = 0) -> Any:
    """Return the fit's DataTree with a ``posterior_predictive`` group: new measurements at the runs (dims chain, draw, run)."""
    import xarray

    drawn = predict(fit, {name: fit.runs[name] for name in (*fit.law.input_names, *fit.noise.needs)}, seed=seed)
    tree = fit.tree.copy()
    values = drawn["new"].rename(point="run").rename(fit.law.output)
    tree["posterior_predictive"] = xarray.DataTree(xarray.Dataset({fit.law.output: values}))
    return tree
