"""The model of a curve: a power law whose slope wanders, between a floor and a plateau; the likelihood by a robust filter.

With u = ln x relative to the last point and y relative to the last value,

    y(u) = E + 1 / (exp(-r(u)) + Q)        floor E; plateau E + 1/Q where learning has not begun (Q = 0: none)
    dr = (h - c) du + exp(wander) dW        level: slope c, which is constant, and a Brownian part
    dh = -h / l du + swing sqrt(2 / l) dW'  slope: an Ornstein-Uhlenbeck process, sd `swing`, length l = exp(memory) in ln x
    ln(measured y) = ln y + noise           Student-t

Without h, the Brownian part and the plateau it is a power law with a floor; the plateau makes it M4 with alpha = 1 (Alabdulmohsin et al.
2022, arXiv 2209.06640); a slope that wanders is a broken power law with breaks anywhere, in any number and of any sharpness (Caballero
et al. 2022, arXiv 2210.14891, have a few, whose places make posteriors of several modes). Points of one training run are correlated:
that is what h and the Brownian part say, and why the intervals hold beyond the data.

Given six numbers (`CONTEXT`), level, slope and c are nearly Gaussian: an extended Kalman filter follows them. It is made robust by its
score: an innovation e of variance S counts 1 / (1 + e^2 / (2 nu S)), and its density is Student-t. The likelihood is that of this
observation-driven model itself (Creal, Koopman, Lucas 2013, doi:10.1002/jae.1279; Harvey 2013, doi:10.1017/CBO9781139540933), exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from bayes_scaling.extrapolation.motion import NU, State, height, move

#: What the measured points speak of: logit of the floor's share of the smallest value, ln noise, ln wander, ln swing, ln memory, logit of
#: the largest value's share of the plateau.
CONTEXT = ("floor", "noise", "wander", "swing", "memory", "plateau")
#: What only points beyond can tell; of them there is only the prior: an offset in ln y, and the factors (in ln) by which noise beyond
#: differs from that of the measured points, and swing and wander from what they were.
AHEAD = ("offset", "noise_ahead", "swing_ahead")


def bounds(theta: Mapping[str, Any], curve: Mapping[str, Any], plateaus: Any) -> tuple[Any, Any]:
    """Return E and Q; ``plateaus`` is 1 for the law with a plateau, 0 for that without."""
    floor = jax.nn.sigmoid(theta["floor"]) * jnp.exp(curve["least"])
    return floor, plateaus * jax.nn.sigmoid(theta["plateau"]) / (jnp.exp(curve["most"]) - floor)


def start(theta: Mapping[str, Any], v: Any, floor: Any, plateau: Any, slope: tuple[Any, Any]) -> State:
    """Return the state at the first point, which it takes for its level: the likelihood is that of the others given the first."""
    above = jnp.maximum(jnp.exp(v) - floor, 1e-3 * jnp.exp(v))
    e = jnp.maximum(1 / above - plateau, 1e-3 / above)
    rate = above * above * e / jnp.exp(v)
    zero = jnp.zeros_like(above)
    doubt = jnp.minimum((2 * jnp.exp(theta["noise"]) / rate) ** 2, 4.0)
    return State(-jnp.log(e), zero, zero + slope[0], doubt, zero, zero, jnp.exp(2 * theta["swing"]) + zero, zero, zero + slope[1] ** 2)


def _density(e2: Any, scale2: Any) -> Any:
    constant = gammaln((NU + 1) / 2) - gammaln(NU / 2) - 0.5 * jnp.log(NU * jnp.pi)
    return constant - 0.5 * jnp.log(scale2) - (NU + 1) / 2 * jnp.log1p(e2 / (NU * scale2))


def follow(theta: Mapping[str, Any], curve: Mapping[str, Any], slope: tuple[Any, Any], plateaus: Any) -> tuple[Any, State]:
    """Filter one curve under many hyper-parameters.

    Parameters
    ----------
    theta : arrays of shape (particle,); ``AHEAD`` only where ``curve["ahead"]`` is not 0
    curve : one row of `padded`: arrays of shape (point,)
    slope : prior mean and sd of c
    plateaus : 1 or 0

    Returns
    -------
    log likelihood of all points but the first, shape (particle,), and the state at the last point
    """
    floor, plateau = bounds(theta, curve, plateaus)
    offset, more_noise, more_swing = (theta.get(name, 0.0) for name in AHEAD)
    first = start(theta, curve["v"][0], floor, plateau, slope)

    def step(carry: tuple[Any, State], point: Any) -> tuple[tuple[Any, State], None]:
        total, state = carry
        before, u, v, weight, real, ahead = point
        changed = {**theta, "swing": theta["swing"] + ahead * more_swing, "wander": theta["wander"] + ahead * more_swing}
        state_then = move(state, changed, jnp.maximum(u - before, 0.0), jnp)
        value, rate = height(state_then.r, floor, plateau, jnp)
        e = v - ahead * offset - value
        scale2 = rate**2 * state_then.rr + jnp.exp(2 * (theta["noise"] + ahead * more_noise)) / weight
        told = tell(state_then, rate, e, scale2)
        kept = jax.tree.map(lambda new, old: jnp.where(real, new, old), told, state)
        return (total + jnp.where(real, _density(e**2, scale2), 0.0), kept), None

    u = curve["u"]
    points = (u[:-1], u[1:], curve["v"][1:], curve["weight"][1:], curve["real"][1:], curve["ahead"][1:])
    (total, state), _ = jax.lax.scan(step, (jnp.zeros_like(floor), first), points)
    return total, state


def tell(state: State, rate: Any, e: Any, scale2: Any) -> State:
    """Return the state after an innovation e of variance ``scale2``, seen through ``rate``."""
    trust = 1 / (1 + e**2 / (2 * NU * scale2))
    r, h, c, rr, rh, rc, hh, hc, cc = state
    to_r, to_h, to_c = rate * rr, rate * rh, rate * rc
    move_by, shrink_by = trust * e / scale2, trust / scale2
    return State(
        r + to_r * move_by,
        h + to_h * move_by,
        c + to_c * move_by,
        rr - to_r * to_r * shrink_by,
        rh - to_r * to_h * shrink_by,
        rc - to_r * to_c * shrink_by,
        hh - to_h * to_h * shrink_by,
        hc - to_h * to_c * shrink_by,
        cc - to_c * to_c * shrink_by,
    )
