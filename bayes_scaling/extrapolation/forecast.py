"""The forecast of a curve: quantiles and densities beyond its last point, the exponent there, when a target is reached."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.errors import FileError, InputError
from bayes_scaling.extrapolation.curve import Curve
from bayes_scaling.extrapolation.motion import NU, State, height, move, transition
from bayes_scaling.extrapolation.prior import LAWS
from bayes_scaling.files import require_readable, require_writable, write_result
from bayes_scaling.netcdf import netcdf, read_netcdf

if TYPE_CHECKING:
    import xarray

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: A draw's Gaussian level is stood for by so many of its quantiles, each as wide as a share of its sd.
_NODES, _WIDTH = 8, 0.3
_STEPS = 96  # of simulated paths
_AT_ONCE = 1_000_000  # numbers of a density at a time: bounds the memory


@dataclass(frozen=True)
class Forecast:
    """Where a curve goes, as draws; `predict` gives quantiles at any x beyond its last point.

    Parameters
    ----------
    curve : as measured
    kind : whose prior it was given
    draws : arrays of shape (draw,): hyper-parameters, state of the filter at the last point, floor and plateau (relative to the last
        value), and the law of each draw
    law_probability : of the laws in ``LAWS``
    effective : effective draws of the importance sample; ``pareto_k``: the shape of its weights' tail
    ok : at least 400 effective draws, and a Pareto k of at most 0.7
    last_u, last_v : ln x and ln y that the draws are relative to
    """

    curve: Curve
    kind: str
    draws: dict[str, np.ndarray]
    law_probability: np.ndarray
    effective: float
    pareto_k: float
    ok: bool
    last_u: float
    last_v: float
    seed: int = 0

    def predict(self, x: Any, quantiles: Sequence[float] = QUANTILES) -> xarray.Dataset:
        """Return quantiles at each x.

        Parameters
        ----------
        x : beyond the curve's last point, in its units; a number or shape (x,)

        Returns
        -------
        Dataset with dims x, quantile: ``curve`` (the level itself), ``measured`` (a new measurement, with its scatter) and
        ``exponent`` (-d ln(y - floor) / d ln x there, of curves without a plateau)

        Raises
        ------
        InputError
            for x within the curve, or not a number; for a quantile not between 0 and 1
        """
        import xarray

        x = self.curve.beyond(x)
        wanted = np.atleast_1d(np.asarray(quantiles, float))
        if not np.all((wanted > 0) & (wanted < 1)):
            raise InputError(f"quantiles = {wanted.tolist()} must lie between 0 and 1")
        rng = np.random.default_rng([self.curve.key, self.seed, 2])
        found = {name: np.empty((len(x), len(wanted))) for name in ("curve", "measured", "exponent")}
        for at, each in enumerate(x):
            centre, width, noise, offset, slope = self._components(each)
            level = centre + width * rng.standard_normal(centre.shape)
            measured = level + offset + noise * rng.standard_t(NU, centre.shape)
            found["curve"][at] = np.exp(self.last_v + np.quantile(level, wanted))
            found["measured"][at] = np.exp(self.last_v + np.quantile(measured, wanted))
            found["exponent"][at] = np.quantile(slope, wanted)
        dataset = xarray.Dataset({name: (("x", "quantile"), values) for name, values in found.items()}, {"x": x, "quantile": wanted})
        dataset.attrs = {"trustworthy": int(self.ok), "kind": self.kind}
        return dataset

    def log_density(self, x: Any, y: Any) -> np.ndarray:
        """Return the log predictive density of measurements y at x, per unit of y; shape (point,)."""
        x, y = self.curve.beyond(x), np.atleast_1d(np.asarray(y, float))
        found = np.empty(len(x))
        for each in np.unique(x):
            rows = np.flatnonzero(x == each)
            centre, width, noise, offset, _ = self._components(each)
            at, scale = (centre + offset).ravel(), np.hypot(width, noise).ravel()
            for part in np.array_split(rows, max(1, len(rows) * len(at) // _AT_ONCE)):
                z = (np.log(y[part])[:, None] - self.last_v - at) / scale
                density = -np.log(scale) - (NU + 1) / 2 * np.log1p(z**2 / NU)
                found[part] = np.logaddexp.reduce(density, axis=1) - np.log(len(at)) + np.log(3 / 8)  # of a t with 4 degrees of freedom
        return found - np.log(y)

    def reach(self, target: float, upto: float | None = None) -> xarray.Dataset:
        """Return when the curve first reaches a value.

        Parameters
        ----------
        target : y to reach, in the curve's units
        upto : how far to look, in x; by default 100 times the last x

        Returns
        -------
        Dataset with dim x: ``probability`` that the level has been at or below the target by x; dim quantile: ``first``, the x at which
        that is (inf: not by ``upto``)
        """
        import xarray

        if not (np.isfinite(target) and target > 0):
            raise InputError(f"target = {target:g} must be a finite number above 0")
        end = self.curve.beyond(100 * self.curve.last_x if upto is None else upto)[0]
        u, paths = self._paths(np.log(end) - self.last_u)
        below = np.logical_or.accumulate(paths <= np.log(target) - self.last_v, axis=1)
        first = np.where(below[:, -1], u[below.argmax(axis=1)], np.inf)
        wanted = np.array(QUANTILES)
        return xarray.Dataset(
            {
                "probability": ("x", below.mean(axis=0)),
                "first": ("quantile", np.exp(self.last_u + np.quantile(first, wanted, method="inverted_cdf"))),
            },
            {"x": np.exp(self.last_u + u), "quantile": wanted},
            {"target": float(target), "trustworthy": int(self.ok)},
        )

    def floor(self, quantiles: Sequence[float] = QUANTILES) -> np.ndarray:
        """Return quantiles of the value that the curve would approach."""
        return np.quantile(np.exp(self.last_v) * self.draws["floor"], quantiles)

    def __str__(self) -> str:
        from bayes_scaling.extrapolation.words import forecast_text

        return forecast_text(self)

    def save(self, path: str | Path) -> None:
        """Write the forecast to NetCDF, whole or not at all; `load_forecast` reads it.

        Raises
        ------
        FileError
            if there is no such folder, or it cannot be written
        """
        import xarray

        path = require_writable(path)
        dataset = xarray.Dataset(
            {name: ("draw", values) for name, values in self.draws.items()}
            | {"x": ("point", self.curve.x), "y": ("point", self.curve.y), "law_probability": ("law_name", self.law_probability)},
            attrs={"extrapolation": json.dumps({name: getattr(self, name) for name in _KEPT} | {"name": self.curve.name})},
        )
        write_result(path, netcdf(dataset))

    def _components(self, x: float) -> tuple[np.ndarray, ...]:
        """Return the mixture at x: centre and width of ln y (draw, node), noise and offset (draw, 1), and exponents (draw, node)."""
        from scipy.special import ndtri

        d = self.draws
        step = np.log(x) - self.last_u
        state = _ahead(d, step)
        sd, nodes = np.sqrt(np.maximum(state.rr, 0.0))[:, None], ndtri((np.arange(_NODES) + 0.5) / _NODES)
        centre, rate = height(state.r[:, None] + sd * nodes, d["floor"][:, None], d["plateau"][:, None], np)
        noise = np.exp(d["noise"] + d["noise_ahead"])[:, None]
        spread = np.sqrt(np.maximum(state.hh + state.cc - 2 * state.hc, 0.0))
        slope = (state.c - state.h)[:, None] + spread[:, None] * nodes
        return centre, _WIDTH * rate * sd, noise, d["offset"][:, None], slope

    def _paths(self, end: float) -> tuple[np.ndarray, np.ndarray]:
        """Return steps in ln x and levels ln y along them, (draw, step), jointly."""
        d = self.draws
        rng = np.random.default_rng([self.curve.key, self.seed, 3])
        n = len(d["r"])
        covariance = np.array([[d["rr"], d["rh"], d["rc"]], [d["rh"], d["hh"], d["hc"]], [d["rc"], d["hc"], d["cc"]]]).transpose(2, 0, 1)
        values, vectors = np.linalg.eigh(covariance)
        normal = rng.standard_normal((n, 3)) * np.sqrt(np.maximum(values, 0))
        r, h, c = np.stack([d["r"], d["h"], d["c"]]) + np.einsum("nij,nj->in", vectors, normal)
        u = np.linspace(0.0, end, _STEPS + 1)
        levels = np.empty((n, _STEPS + 1))
        levels[:, 0] = height(r, d["floor"], d["plateau"], np)[0]
        step = end / _STEPS
        keep, gain, q_rr, q_rh, q_hh = transition(_beyond(d), step, np)
        for at in range(1, _STEPS + 1):
            first, second = rng.standard_normal((2, n))
            shock_h = np.sqrt(q_hh) * first
            share = np.where(q_hh > 0, q_rh / np.where(q_hh > 0, q_hh, 1.0), 0.0)
            shock_r = share * shock_h + np.sqrt(np.maximum(q_rr - share * q_rh, 0.0)) * second
            r, h = r + gain * h - c * step + shock_r, keep * h + shock_h
            levels[:, at] = height(r, d["floor"], d["plateau"], np)[0]
        return u, levels


_KEPT = ("kind", "effective", "pareto_k", "ok", "last_u", "last_v", "seed")


def _beyond(d: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return draws with swing and wander as they are beyond the points."""
    return d | {name: d[name] + d["swing_ahead"] for name in ("swing", "wander")}


def _ahead(d: dict[str, np.ndarray], step: float) -> State:
    """Return the state a step beyond the last point; arrays of shape (draw,)."""
    return move(State(*(d[name] for name in State._fields)), _beyond(d), step, np)


def load_forecast(path: str | Path) -> Forecast:
    """Read a forecast from NetCDF.

    Raises
    ------
    FileError
        if the file is missing, damaged, or not a forecast of this package
    """
    path = require_readable(path, "a forecast that bayes-scaling extrapolate --out wrote")
    try:
        dataset = read_netcdf(path.read_bytes(), str(path), "a forecast").to_dataset()
        kept = json.loads(dataset.attrs["extrapolation"])
        curve = Curve(dataset["x"].values, dataset["y"].values, kept.pop("name"))
        draws = {str(name): values.values for name, values in dataset.data_vars.items() if values.dims == ("draw",)}
        missing = {*State._fields, "floor", "plateau", "noise"} - set(draws)
        if missing or len(dataset["law_probability"]) != len(LAWS):
            raise KeyError(*missing)
        return Forecast(curve, draws=draws, law_probability=dataset["law_probability"].values, **kept)
    except FileError:
        raise
    except Exception as error:  # the HDF5 stack raises many kinds for a file that is not one
        raise FileError(f"'{path}' is not a forecast of bayes-scaling ({type(error).__name__})") from None
