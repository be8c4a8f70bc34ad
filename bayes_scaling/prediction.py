"""Posterior predictions at new inputs, with and without the scatter from run to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.drift import NO_DRIFT, Drift, drift_of, drifted, reach_beyond, scale
from bayes_scaling.errors import InputError, nearest
from bayes_scaling.fitted import Fit
from bayes_scaling.quantities import quantity
from bayes_scaling.reading import read_points

if TYPE_CHECKING:
    import xarray

FAR = 1.0  # decades beyond the data from which on a prediction is called far


def predict(
    fit: Fit,
    at: Mapping[str, Any] | Any,
    *,
    then: Fit | None = None,
    map: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    drift: Drift | float | None = None,
    seed: int = 0,
) -> xarray.Dataset:
    """Predict the law's output at new inputs, draw by draw.

    Parameters
    ----------
    at : arrays of shape (point,) by input name in base units, a DataFrame with those columns, or a file (its columns named as those of the
        runs' file, or as usual); what the noise needs besides (``loss_se``, ``trials``) is the median of the fit's runs where it is not
        among them
    then : a second fit that takes this one's output as an input (a loss into an error rate or a BLEU score): its output is predicted,
        with the uncertainty of both fits
    map, units : of the columns of a file, as in `read_runs`, where they are not as in the runs' file
    drift : how far laws may be off beyond their runs (`bayes_scaling.drift`): by default as far as laws are whose forecasts nobody has
        checked; ``bs.forward_validation(...).drift[name]`` for this one's, a number for a size that is known; 0 takes the law for the truth
    seed : of the scatter and the drift

    Returns
    -------
    Dataset with dims chain, draw, point: ``expected`` (the law's curve) and ``new`` (a new measurement: the law may have drifted beyond the
    runs, and there is noise); the inputs, and ``decades_beyond`` the runs (of the input that is farthest out, or of params x tokens) on dim
    point. Attributes ``drift``: the mean size of it; ``assumed``: what new measurements rest on that was not told, in words; ``read``:
    which columns of a file were read as those of the runs had been

    Raises
    ------
    InputError
        If an input is missing, not positive, or of another length.

    Examples
    --------
    >>> ahead = bs.predict(fit, {"params": [1e9, 1e10], "tokens": [2e10, 2e11]})
    >>> ahead["expected"].dims, ahead["new"].sizes["point"]
    (('chain', 'draw', 'point'), 2)
    """
    import xarray

    if not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed} must be between 0 and 2^32 - 1")
    if then is not None:
        _require_chain(fit, then)
    read: list[str] = []
    if isinstance(at, (str, Path)):
        fits = [fit] if then is None else [fit, then]
        inputs = [name for one in fits for name in one.law.input_names if one is fit or name != fit.law.output]
        # Of what only the scatter needs, as trials, the fit has a typical value.
        scatter = [name for one in fits for name in one.noise.needs]
        at = read_points(at, inputs, optional=scatter, map=map, units=units, like=fit.runs, told=read.append)
    elif map or units:
        raise InputError("map and units are of the columns of a file; points given as arrays are in base units, by the inputs' names")
    known = drift_of(drift)
    inputs, assumed = _inputs(fit, at)
    expected, new = _outputs(fit, inputs, fit.parameters(), seed, known)
    far = reach_beyond(fit, inputs)
    last, trusted = fit, fit.diagnosis.ok
    if then is not None:
        further, also = _inputs(then, {**at, fit.law.output: np.ones(1)})
        assumed += also
        parameters = matched(then.parameters(), expected.shape[:2], seed)
        expected, _ = _outputs(then, {**further, fit.law.output: expected}, parameters, seed + 1, NO_DRIFT)
        _, new = _outputs(then, {**further, fit.law.output: new}, parameters, seed + 1, known)
        points = expected.shape[-1:]
        inputs |= {name: np.broadcast_to(values, points) for name, values in further.items() if name != fit.law.output}
        last, trusted = then, trusted and then.diagnosis.ok
    dims = ("chain", "draw", "point")
    about = {"law": last.law.name, "noise": last.noise.name, "output": last.law.output}
    return xarray.Dataset(
        {
            "expected": (dims, expected),
            "new": (dims, new),
            **{name: ("point", values) for name, values in inputs.items()},
            "decades_beyond": ("point", far),
        },
        attrs={**about, "trustworthy": int(trusted), "drift": known.mean, "assumed": ", ".join(assumed), "read": ", ".join(read)},
    )


def _require_chain(fit: Fit, then: Fit) -> None:
    """Raise InputError unless the second fit takes what the first one predicts."""
    if fit.law.output not in then.law.input_names:
        other = then.law.output in fit.law.input_names
        order = (
            f"; in the other order they fit: '{fit.law.name}' takes the {then.law.output} that '{then.law.name}' predicts" if other else ""
        )
        raise InputError(f"law '{then.law.name}' does not take {fit.law.output}, which law '{fit.law.name}' predicts{order}")


def _inputs(fit: Fit, at: Mapping[str, Any] | Any) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return what a fit needs of the points, checked, each of shape (point,); and what was not told of them, in words.

    Runs that do not exist yet have no trials or standard errors: they will be measured as runs are.
    """
    needed = (*fit.law.input_names, *fit.noise.needs)
    unknown = [name for name in fit.noise.needs if name not in at and name not in fit.law.input_names]
    # Between two runs the lower: a mean of both may be no whole number of trials.
    typical = {name: float(np.quantile(fit.runs[name], 0.5, method="lower")) for name in unknown}
    inputs = {}
    for name in needed:
        if name not in at and name not in typical:
            raise InputError(f"no '{name}' among the points to predict{nearest(name, map(str, at))}; law '{fit.law.name}' needs {needed}")
        inputs[name] = np.atleast_1d(np.asarray(typical.get(name, at.get(name)), dtype=float))
    inputs = dict(zip(inputs, np.broadcast_arrays(*inputs.values()), strict=True))
    for name, values in inputs.items():
        kind = quantity(name)
        bad = np.flatnonzero(~kind.admits(values))
        if len(bad):
            raise InputError(f"point {bad[0] + 1}: {name} = {values[bad[0]]:g} must be {kind.possible_text()}")
    return inputs, [f"{name} = {value:g} ({fit.law.output})" for name, value in typical.items()]


def _outputs(
    fit: Fit, inputs: Mapping[str, np.ndarray], parameters: Mapping[str, np.ndarray], seed: int, drift: Drift
) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve and a new measurement, (chain, draw, point); parameters have shape (chain, draw)."""
    import jax

    wide = {name: values[..., None] for name, values in parameters.items()}
    with jax.enable_x64(True):
        expected = fit.law.formula(inputs, wide)
        curve = expected
        far = scale(fit, inputs) if drift.mean else np.zeros(1)
        if far.any():
            shape = next(iter(parameters.values())).shape
            curve = drifted(fit.law.output, curve, drift.sample(int(np.prod(shape)), seed).reshape(*shape, 1) * far)
        new = fit.noise.distribution(curve, wide, inputs).sample(jax.random.PRNGKey(seed))
        return np.asarray(expected), np.asarray(new)


def new_measurement(fit: Fit, at: Mapping[str, float], seed: int, drift: Drift | float | None = None) -> np.ndarray:
    """Return a new measurement at one point, with drift and scatter, shape (chain, draw); NaN where scatter depends on what is not known.

    Stated standard errors are of runs that were made, not of one that is planned.
    """
    if any(name not in at for name in fit.noise.needs):
        return np.full(next(iter(fit.parameters().values())).shape, np.nan)
    inputs = {name: np.atleast_1d(float(value)) for name, value in at.items()}
    return _outputs(fit, inputs, fit.parameters(), seed, drift_of(drift))[1][..., 0]


def matched(parameters: Mapping[str, np.ndarray], shape: tuple[int, ...], seed: int) -> dict[str, np.ndarray]:
    """Return draws of another fit in a given shape: the fits are independent, so any pairing of their draws will do."""
    total = np.size(next(iter(parameters.values())))
    index = np.random.default_rng(seed).permutation(total)
    index = np.resize(index, shape)
    return {name: np.ravel(values)[index] for name, values in parameters.items()}


def posterior_predictive(fit: Fit, *, seed: int = 0) -> Any:
    """Return the fit's DataTree with a ``posterior_predictive`` group: new measurements at the runs (dims chain, draw, run)."""
    import xarray

    drawn = predict(fit, {name: fit.runs[name] for name in (*fit.law.input_names, *fit.noise.needs)}, seed=seed)
    tree = fit.tree.copy()
    values = drawn["new"].rename(point="run").rename(fit.law.output)
    tree["posterior_predictive"] = xarray.DataTree(xarray.Dataset({fit.law.output: values}))
    return tree
