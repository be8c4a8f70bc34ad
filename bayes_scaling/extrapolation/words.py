"""Forecasts in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.extrapolation.prior import LAWS

if TYPE_CHECKING:
    from bayes_scaling.extrapolation.forecast import Forecast

#: Multiples of the last x that a forecast is told at, unless asked for others.
MULTIPLES = (1.5, 2.0, 4.0, 10.0)
_FAR = 1.0  # decades beyond the last point
_BAND = (0.05, 0.5, 0.95)


def forecast_record(forecast: Forecast, at: Sequence[float] = (), target: float | None = None) -> dict[str, Any]:
    """Return a forecast as one JSON object."""
    x = np.array(at) if len(at) else forecast.curve.last_x * np.array(MULTIPLES)
    found = forecast.predict(x, _BAND)
    record: dict[str, Any] = {
        "curve": forecast.curve.name,
        "kind": forecast.kind,
        "points": len(forecast.curve.x),
        "last_x": forecast.curve.last_x,
        "trustworthy": forecast.ok,
        "effective_draws": forecast.effective,
        "pareto_k": forecast.pareto_k,
        "laws": dict(zip(LAWS, forecast.law_probability.tolist(), strict=True)),
        "floor": forecast.floor(_BAND).tolist(),
        "quantiles": list(_BAND),
        "forecast": [
            {"x": float(each)} | {str(name): values.values.tolist() for name, values in found.sel(x=each).data_vars.items()} for each in x
        ],
    }
    if target is not None:
        reached = forecast.reach(target)
        record["target"] = {
            "value": target,
            "upto": float(reached["x"][-1]),
            "probability": float(reached["probability"][-1]),
            "first_x": reached["first"].sel(quantile=list(_BAND)).values.tolist(),
        }
    return record


def forecast_text(forecast: Forecast, at: Sequence[float] = (), target: float | None = None) -> str:
    """Return the forecast at some x, the floor, when a target is reached, and whether it can be trusted."""
    record = forecast_record(forecast, at, target)
    curve = forecast.curve
    lines = [
        f"{curve.name}: {len(curve.x)} points, x from {_x(curve.x[0])} to {_x(curve.last_x)}; prior of kind '{forecast.kind}'",
        "",
        f"{'x':>10}{'curve':>11}{'5 %':>9}{'95 %':>9}{'measured, 5 %':>16}{'95 %':>9}{'exponent':>11}{'5 %':>8}{'95 %':>8}",
    ]
    for row in record["forecast"]:
        (low, middle, high), (least, _, most), (shallow, slope, steep) = row["curve"], row["measured"], row["exponent"]
        far = "   far beyond the data" if np.log10(row["x"] / curve.last_x) >= _FAR else ""
        numbers = f"{middle:>11.4g}{low:>9.4g}{high:>9.4g}{least:>16.4g}{most:>9.4g}{slope:>11.3f}{shallow:>8.3f}{steep:>8.3f}"
        lines.append(f"{_x(row['x']):>10}{numbers}{far}")
    low, middle, high = record["floor"]
    begun = forecast.law_probability[1]
    lines += ["", f"it would approach {middle:.4g} [{low:.4g}, {high:.4g}]; that the curve left a plateau has probability {begun:.2f}"]
    if target is not None:
        reached = record["target"]
        first, middle, last = (_x(each) if np.isfinite(each) else "never" for each in reached["first_x"])
        known = np.flatnonzero(curve.y <= target)
        if len(known):
            first_x = _x(float(curve.x[known[0]]))
            lines.append(f"{target:.4g} has been measured already, at {first_x}; what follows is of the curve beyond its last point")
        where = f": at {middle} [{first}, {last}]" if first != "never" else ""
        upto = f"{_x(reached['upto'])} ({reached['upto'] / curve.last_x:.3g} times the last point)"
        lines.append(f"{target:.4g} is reached by {upto} with probability {reached['probability']:.2f}{where}")
    verdict = "The draws can be trusted" if forecast.ok else "DO NOT TRUST these draws"
    lines.append(f"{verdict}: {forecast.effective:.0f} effective draws (of at least 400), Pareto k {forecast.pareto_k:.2f} (at most 0.7).")
    return "\n".join(lines)


def _x(value: float) -> str:
    return f"{value:.4g}".replace("e+0", "e").replace("e+", "e")
