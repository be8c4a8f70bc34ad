"""Broken neural scaling law: power laws of different slopes, joined smoothly; loss, or an error rate, against any one input.

    y(x) = a + b * x^(-c0) * product over i of (1 + (x / d_i)^(1 / f_i))^(-c_i * f_i)

Caballero et al. 2022 (arXiv 2210.14891). `bnsl` has one break; `bnsl:0`, `bnsl:2` and `bnsl:3` have none, two and three. Slopes may be
negative, so that the curve can rise: double descent is two breaks.

When to use it: curves with a visible break, such as a plateau after which a skill is learned, or a bump.
When not: to guess breaks that lie beyond the runs. Nothing in the runs speaks of them (the paper says so), and a fit then returns the
prior of d_i. Each break costs three parameters: about ten runs on either side, and runs within it for its sharpness f_i.

Breaks are ordered by construction (ln d_i = ln d_(i-1) + a positive gap), since a permutation of them is the same curve. Sampled are the
slopes themselves, c0 and then slope_i = c0 + c_1 + ... + c_i after break i (the published c_i are their differences); the level where the
first break is, a + b * d_1^-c0 (b is the level at x = 1, far from any run); and the share of a in it. On a plateau the runs tell a and
the rest only together: their sum and share are what such runs pin down and leave open. Being relative to the level, the priors serve
losses of any kind, so an error rate may also be fitted as a loss (--map loss=COLUMN) where a variant for errors is lacking.
"""

from dataclasses import replace
from math import log

import jax
import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal, StudentT

from bayes_scaling.curves import UNIT, amount, over_axes
from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.numeric import crossing, softplus

CABALLERO = "Caballero et al. 2022, arXiv 2210.14891"
PUBLISHED = {
    "examples": {
        "addition": Published(
            {
                "a": 0.41388453071629455,
                "b": 2.2772722897737556,
                "c0": 0.055077348404973955,
                "c1": 5.662903816010331,
                "d1": 612.5836171918001,
                "f1": 0.059193036393742314,
            },
            f"code of {CABALLERO}",
            note="test loss against the number of training sums of two 4-digit numbers; fitted up to 736, seen up to 928",
        )
    }
}
CHECKS = {"examples": (Check("addition", {"examples": 736}, 0.965582),)}
#: Of the formula itself at 1e4: 0.1 + 0.02, with breaks 0.1 + 0.02 / 2, then 0.1 + 0.01 * 1.1, then 0.1 + 0.011 / 1.0001.
PLAIN = {
    "a": 0.1, "b": 2.0, "c0": 0.5, "c1": 1.0, "d1": 1e4, "f1": 1.0, "c2": -1.0, "d2": 1e5, "f2": 1.0, "c3": 2.0, "d3": 1e6, "f3": 0.5,
}  # fmt: skip
PLAIN_AT_1E4 = (0.12, 0.11, 0.111, 0.110998900109989)

#: By output: prior of the level, limit and reducible part together. Errors are fractions.
LEVEL = {"loss": LogNormal(0.5, 0.9), "error": LogNormal(-1.5, 0.7)}
SHARE = Beta(1.5, 2.5)
#: By output: priors of the first slope and of those after breaks. Slopes are small mostly, may be negative, and now and then are steep (a
#: skill learned at once: 5.7 in the sums of 4-digit numbers). An error rate has little room to rise.
SLOPES = {
    "loss": (StudentT(3.0, 0.1, 0.2), StudentT(3.0, 0.2, 0.5)),
    "error": (StudentT(3.0, 0.05, 0.1), StudentT(3.0, 0.25, 0.25)),
}
SHARPNESS = LogNormal(-1.0, 0.8)
GAP = LogNormal(0.7, 0.8)  # ln(d_i / d_(i-1)): median a factor of 7
_GRID = 1024
_BEYOND = 1e6  # how far beyond the declared domain an answer is looked for


def _name(breaks, output):
    variant = "error" if output == "error" else ("" if breaks == 1 else str(breaks))
    return f"bnsl:{variant}" if variant else "bnsl"


def _law(axis, output, breaks):
    x = axis.name
    each = range(1, breaks + 1)
    first_slope, later_slope = SLOPES[output]
    low, high = log(axis.input.low), log(axis.input.high)

    def formula(inputs, p):
        position = jnp.log(inputs[x])
        reducible = jnp.log(p["b"]) - p["c0"] * position
        for i in each:
            sharpness = p[f"f{i}"]
            reducible -= p[f"c{i}"] * sharpness * softplus((position - jnp.log(p[f"d{i}"])) / sharpness)
        return p["a"] + jnp.exp(reducible)

    def place(p):
        return p["d1"] if breaks else axis.reference

    def derived(p):
        found = {"a": p["share"] * p["top"], "b": (1 - p["share"]) * p["top"] * jnp.exp(p["c0"] * jnp.log(place(p)))}
        slope, at = p["c0"], place(p)
        for i in each:
            found[f"c{i}"] = p[f"slope{i}"] - slope
            slope = p[f"slope{i}"]
            if i > 1:
                at = at * jnp.exp(p[f"gap{i}"])
                found[f"d{i}"] = at
        return found

    def invert(p):
        top = p["a"] + p["b"] * place(p) ** -p["c0"]
        found = {"top": top, "share": p["a"] / top, "c0": p["c0"]}
        slope = p["c0"]
        for i in each:
            slope = slope + p[f"c{i}"]
            found |= {f"slope{i}": slope, f"f{i}": p[f"f{i}"]}
            found |= {"d1": p["d1"]} if i == 1 else {f"gap{i}": jnp.log(p[f"d{i}"] / p[f"d{i - 1}"])}
        return found

    def answer(p, given):
        reached = given["reached"]
        found = {x: first(lambda z: formula({x: jnp.exp(z)}, p), given["target"], jnp.log(reached), log(_BEYOND) + high)}
        if breaks:
            places = [jnp.where(p[f"d{i}"] > reached, p[f"d{i}"], jnp.inf) for i in each]
            found["next_break"] = jnp.stack(jnp.broadcast_arrays(*places)).min(axis=0)
        return found

    where = "the first break, drawn on from before it" if breaks else axis.text
    parameters = [
        Parameter("top", LEVEL[output], f"{output} at {where}, in {UNIT[output]}: a + b * {x}^-c0 there"),
        Parameter("share", SHARE, "share of the limit a in that level"),
        Parameter("c0", first_slope, f"exponent of {x}" + (" before the first break" if breaks else "")),
    ]
    if breaks:
        middle, width = (low + high) / 2, (high - low) / 5
        parameters += [Parameter("d1", LogNormal(round(middle, 1), round(width, 1)), f"{x} at the first break")]
    for i in each:
        parameters += [
            Parameter(f"slope{i}", later_slope, f"exponent of {x} after break {i}: c0 + c1 + ... + c{i}"),
            Parameter(f"f{i}", SHARPNESS, f"width of break {i} in units of ln {x}; small is sharp"),
        ]
        if i > 1:
            parameters += [Parameter(f"gap{i}", GAP, f"ln(d{i} / d{i - 1}), how far break {i} follows the one before")]
    published = PUBLISHED.get(x, {}) if breaks == 1 and output == "loss" else {}
    words = {0: "without a break", 1: "with one break", 2: "with two breaks", 3: "with three breaks"}[breaks]
    return Law(
        name=_name(breaks, output),
        title=f"Broken neural scaling law {words}: {output} against one input",
        equation=f"y({x}) = a + b * {x}^(-c0)" + "".join(f" * (1 + ({x}/d{i})^(1/f{i}))^(-c{i}*f{i})" for i in each),
        citation=CABALLERO,
        use="curves whose slope changes within the measured range: plateaus that end, bumps",
        avoid="guessing breaks beyond the runs; fewer than ten runs a break",
        inputs=(axis.input,),
        parameters=tuple(parameters),
        formula=formula,
        derived=derived,
        invert=invert,
        published=published,
        checks=(*(CHECKS[x] if published else ()), Check("", {x: 1e4}, PLAIN_AT_1E4[breaks], values=PLAIN)),
        output=output,
        decision=Decision(
            question=f"how {amount(x)} does a target {output} need" + (", and where is the next break?" if breaks else "?"),
            given=(
                Input("target", UNIT[output], f"{output} to reach"),
                Input("reached", axis.input.unit, f"{x} from which on to look; the curve may have been below the target before"),
            ),
            answers=(
                Input(
                    x,
                    axis.input.unit,
                    f"least {x}, not below reached, at which the target is met; inf: none up to {axis.input.high * _BEYOND:g}",
                ),
                *([Input("next_break", axis.input.unit, "place of the first break beyond reached; inf: none")] if breaks else []),
            ),
            answer=answer,
            example={"target": 0.6 if output == "loss" else 0.1},
            optional={"reached": 1.0},
        ),
    )


def first(curve, target, low, high):
    """Return exp of the smallest z between low and high with curve(z) <= target, infinite where there is none.

    The curve may rise and fall: a grid finds the first interval at whose end the target is met, and bisection the place in it.
    """
    target, low, high = jnp.broadcast_arrays(*(jnp.asarray(part, float) for part in (target, low, high)))
    high = jnp.maximum(high, low)
    low = jnp.broadcast_to(low, jnp.broadcast_shapes(low.shape, jnp.shape(curve(low))))
    width = (high - low) / (_GRID - 1)

    def look(i, found):
        return jnp.where((found == _GRID) & (curve(low + i * width) <= target), i, found)

    end = jax.lax.fori_loop(0, _GRID, look, jnp.full(low.shape, _GRID))
    lower, upper = low + jnp.maximum(end - 1, 0) * width, low + jnp.minimum(end, _GRID - 1) * width
    met = jnp.exp(crossing(curve, target, lower, upper))
    return jnp.where(end == 0, jnp.exp(low), jnp.where(end == _GRID, jnp.inf, met))


def _over(output, breaks):
    return over_axes(lambda axis: _law(axis, output, breaks))


LAW = replace(
    _over("loss", 1),
    variants={"0": _over("loss", 0), "2": _over("loss", 2), "3": _over("loss", 3), "error": _over("error", 1)},
)
