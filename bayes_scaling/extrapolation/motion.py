"""How the state of a curve moves between points, and what height it has: formulas for any array library (``xp``: numpy or jax.numpy).

One place for what the filter computes in JAX and a forecast in numpy, which must not start JAX.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

#: Degrees of freedom of the noise.
NU = 4.0


class State(NamedTuple):
    """Mean and covariance of level r, slope deviation h and slope c; arrays of one shape."""

    r: Any
    h: Any
    c: Any
    rr: Any
    rh: Any
    rc: Any
    hh: Any
    hc: Any
    cc: Any


class Transition(NamedTuple):
    """What stays of h over a step, what it adds to r, and the covariance of what is new in r and h."""

    keep: Any
    gain: Any
    rr: Any
    rh: Any
    hh: Any


def transition(theta: Mapping[str, Any], step: Any, xp: Any) -> Transition:
    """Return how r and h change over ``step`` in ln x, exactly."""
    length, swing2 = xp.exp(theta["memory"]), xp.exp(2 * theta["swing"])
    t = step / length
    keep = xp.exp(-t)
    # Variance of the integrated Ornstein-Uhlenbeck process; its series where the terms cancel.
    integrated = xp.where(t < 1e-2, t**3 * (2 / 3 - t / 2), 2 * t - 3 + 4 * keep - keep**2)
    return Transition(
        keep=keep,
        gain=length * -xp.expm1(-t),
        rr=swing2 * length**2 * integrated + xp.exp(2 * theta["wander"]) * step,
        rh=swing2 * length * (1 - keep) ** 2,
        hh=swing2 * (1 - keep**2),
    )


def move(state: State, theta: Mapping[str, Any], step: Any, xp: Any) -> State:
    """Return the state after ``step`` in ln x, exactly."""
    new = transition(theta, step, xp)
    r, h, c, rr, rh, rc, hh, hc, cc = state
    gain = new.gain
    from_r, from_h, from_c = rr + gain * rh - step * rc, rh + gain * hh - step * hc, rc + gain * hc - step * cc
    return State(
        r=r + gain * h - step * c,
        h=new.keep * h,
        c=c,
        rr=from_r + gain * from_h - step * from_c + new.rr,
        rh=new.keep * from_h + new.rh,
        rc=from_c,
        hh=new.keep**2 * hh + new.hh,
        hc=new.keep * hc,
        cc=cc,
    )


def height(r: Any, floor: Any, plateau: Any, xp: Any) -> tuple[Any, Any]:
    """Return ln y and its derivative in r."""
    e = xp.exp(-xp.clip(r, -300.0, 300.0))
    above = 1 / (e + plateau)
    return xp.log(floor + above), above * above * e / (floor + above)
