"""M4: from a plateau through a power law to a floor; loss, or an error rate, against any one input.

    (y - E) / (e0 - y)^alpha = a * x^(-c)

Alabdulmohsin et al. 2022 (arXiv 2209.06640). e0 is the value without learning (chance), E the floor, and alpha says how abruptly the
plateau ends; alpha = 0 is the power law with a floor, M2. y is given implicitly: there is one solution between E and e0 for every x.

Sampled is x0, where the power law, drawn backwards, would reach the plateau: (x / x0)^(-c) = (y - E) (e0 - E)^(alpha - 1) / (e0 - y)^alpha.
It is what such a curve shows best; a = x0^c (e0 - E)^(1 - alpha).

When to use it: learning curves that begin near chance, as few-shot errors of images do.
When not: curves that do not show their plateau (e0 and alpha then only repeat the prior: use `power_law_floor`), or more than one bend.

The authors solve for y on a grid of 10 000 points; here it is solved to machine precision.
"""

from math import log

import jax
import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal

from bayes_scaling.curves import UNIT, needed_for_target, of_loss_and_error
from bayes_scaling.law import Check, Law, Parameter

_STEPS = 6


@jax.custom_jvp
def _logit(q, alpha):
    """Solve ln v - alpha ln(1 - v) = q, where alpha > 0, for s = logit v.

    In s, the left side is alpha s + (alpha - 1) ln(1 + e^-s): concave (alpha < 1) or convex (alpha > 1), and rising. Its asymptotes s and
    alpha s and its tangent at 0 lie on one side of it: the one that gives most is the start. Halley's steps triple the digits: four reach
    rounding for alpha between 0.005 and 110, six nine digits between 1e-6 and 1000.
    """

    def step(_, s):
        small = jnp.exp(-jnp.abs(s))
        below = jnp.where(s > 0, small, 1.0) / (1 + small)  # 1 - v
        slope = alpha - (alpha - 1) * below
        newton = (alpha * s + (alpha - 1) * (jnp.log(1 + small) + jnp.maximum(-s, 0.0)) - q) / slope
        bend = (alpha - 1) * below * (1 - below) / slope
        return s - newton / jnp.clip(1 - newton * bend / 2, 0.5, 2.0)

    tangent = 2 * (q - (alpha - 1) * jnp.log(2.0)) / (1 + alpha)
    start = jnp.where(alpha > 1, jnp.minimum(jnp.minimum(q, q / alpha), tangent), jnp.maximum(jnp.maximum(q, q / alpha), tangent))
    return jax.lax.fori_loop(0, _STEPS, step, start, unroll=True)


@_logit.defjvp
def _implicit(given, changes):
    """By the implicit function theorem; exact in every order, since the solution within is differentiated by the same rule."""
    (q, alpha), (change_q, change_alpha) = given, changes
    s = _logit(q, alpha)
    return s, (change_q - jax.nn.softplus(s) * change_alpha) / (alpha - (alpha - 1) * jax.nn.sigmoid(-s))


def plateau(q, alpha):
    """Solve ln v - alpha ln(1 - v) = q for v between 0 and 1, where alpha > 0; differentiable in q and alpha."""
    return jax.nn.sigmoid(_logit(*jnp.broadcast_arrays(q, alpha)))


#: Without a published set: alpha = 1 is 0.1 + 0.8 f / (1 + f) with f = 0.02, alpha = 0 is 0.1 + f, alpha = 2 and 1/2 solve quadratics.
CHECKS = (
    (1.0, 0.11568627450980392),
    (0.0, 0.12),
    (2.0, 0.1124060835447465),
    (0.5, 0.11768966181905069),
)

#: By output: priors of the floor and of the room between floor and plateau. Errors are fractions: their room is a share of what lies
#: between the floor and 1, mostly near all of it, as with many classes.
PRIORS = {
    "loss": (LogNormal(0.0, 1.0), LogNormal(1.0, 1.0)),
    "error": (Beta(1.0, 4.0), Beta(4.0, 1.0)),
}


def _law(axis, output):
    x = axis.name
    floor, room = PRIORS[output]
    share = output == "error"

    def formula(inputs, p):
        span = p["e0"] - p["E"]
        log_f = jnp.log(p["a"]) - p["c"] * jnp.log(inputs[x])
        some = p["alpha"] > 0
        alpha = jnp.where(some, p["alpha"], 1.0)
        curved = span * plateau(log_f + (alpha - 1) * jnp.log(span), alpha)
        return p["E"] + jnp.where(some, curved, jnp.exp(jnp.where(some, 0.0, log_f)))

    def derived(p):
        span = (1 - p["E"]) * p["room"] if share else p["room"]
        return {"e0": p["E"] + span, "a": p["x0"] ** p["c"] * span ** (1 - p["alpha"])}

    def invert(p):
        span = p["e0"] - p["E"]
        x0 = (p["a"] * span ** (p["alpha"] - 1)) ** (1 / p["c"])
        return {"E": p["E"], "room": span / (1 - p["E"]) if share else span, "x0": x0, "c": p["c"], "alpha": p["alpha"]}

    def answer(p, given):
        above, below = given["target"] - p["E"], p["e0"] - given["target"]
        between = (above > 0) & (below > 0)
        f = jnp.where(between, above, 1.0) / jnp.where(between, below, 1.0) ** p["alpha"]
        return {x: jnp.where(above <= 0, jnp.inf, jnp.where(below <= 0, 0.0, (p["a"] / f) ** (1 / p["c"])))}

    return Law(
        name="m4" if output == "loss" else f"m4:{output}",
        title=f"{output.capitalize()} against one input, from a plateau to a floor",
        equation=f"(y - E) / (e0 - y)^alpha = a * {x}^(-c)",
        citation="Alabdulmohsin et al. 2022, arXiv 2209.06640",
        use="learning curves that begin near chance and fall to a floor",
        avoid="curves that do not show their plateau; more than one bend",
        inputs=(axis.input,),
        parameters=(
            Parameter("E", floor, f"floor in {UNIT[output]}"),
            Parameter(
                "room",
                room,
                "drop from plateau to floor, as a share of 1 - E: e0 = E + room * (1 - E)"
                if share
                else "drop from plateau to floor, e0 - E",
            ),
            # Ladders begin at the reference, and with luck on the plateau.
            Parameter(
                "x0", LogNormal(round(log(axis.reference) + 1, 1), 3.0), f"{x} at which the plateau would end, were its end a corner"
            ),
            Parameter("c", LogNormal(-1.3, 0.7), f"exponent of {x} far beyond the plateau"),
            Parameter("alpha", LogNormal(-0.3, 1.0), "how slowly the plateau ends; 0: there is none"),
        ),
        formula=formula,
        derived=derived,
        invert=invert,
        decreasing_in=(x,),
        checks=tuple(
            Check("", {x: 1e4}, value, 1e-9, {"E": 0.1, "e0": 0.9, "a": 2.0, "c": 0.5, "alpha": alpha}) for alpha, value in CHECKS
        ),
        output=output,
        # Errors near 1 scatter in logit: no run is worse than always wrong.
        noise="logit-student-t" if share else "student-t",
        decision=needed_for_target(axis, output, answer),
    )


LAW = of_loss_and_error(_law)
