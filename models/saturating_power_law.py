"""Power law that saturates: loss, or an error rate, against any one input, with a floor that comes from what was held fixed.

    y(x) = a * (1 / x + g)^c

M3 of Alabdulmohsin et al. 2022 (arXiv 2209.06640), and the data law of Bansal et al. 2022 (arXiv 2202.01994) for translation.
Below x = 1/g the curve is a * x^(-c); far above it is a * g^c.

When to use it: one thing is scaled while another (size, noise in the data) stays fixed and takes over in the end.
When not: curves whose bend is not that of a single crossover. Floor and bend are tied here: the curve reaches within 10 % of its floor at
x of about 10 c / g, which a power law with a floor of its own (`power_law_floor`) does not demand.

The M3 column of tables 2 and 3 of Alabdulmohsin et al. 2022 is not the least-squares fit of this curve: converged fits extrapolate its
translation curves with errors of 0.6 to 1.8 %, where the tables give 1.6 to 8.9 %.
"""

from dataclasses import replace
from math import log

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.curves import UNIT, needed_for_target, of_loss_and_error
from bayes_scaling.law import Check, Law, Parameter, Term

#: Least squares in ln loss on a translation curve of Bansal et al. 2022 (6 encoder, 6 decoder layers), fitted with x in millions of pairs.
SIX_BY_SIX = {"a": 0.7558 * 1e6**0.2686, "g": 0.04598e-6, "c": 0.2686}
CHECKS = {"examples": (Check("", {"examples": 512e6}, 0.334215, values=SIX_BY_SIX),)}
#: Of the formula itself: 2 * sqrt(1e-4 + 1e-4).
PLAIN = Check("", {}, 0.0282842712474619, values={"a": 2.0, "g": 1e-4, "c": 0.5})

#: By output: prior of the power law at the reference, before it saturates.
LEVEL = {"loss": LogNormal(1.0, 1.0), "error": LogNormal(-1.2, 0.8)}


def _law(axis, output):
    x = axis.name

    def formula(inputs, p):
        # ln(1/x + g) by logs: g may be tiny against 1/x and the other way round.
        return jnp.exp(jnp.log(p["a"]) + p["c"] * jnp.logaddexp(-jnp.log(inputs[x]), jnp.log(p["g"])))

    def derived(p):
        return {"a": p["a_ref"] * axis.reference ** p["c"], "g": 1 / p["x_sat"]}

    def invert(p):
        return {"a_ref": p["a"] * axis.reference ** -p["c"], "c": p["c"], "x_sat": 1 / p["g"]}

    def answer(p, given):
        rest = (given["target"] / p["a"]) ** (1 / p["c"]) - p["g"]  # 1/x
        return {x: jnp.where(rest > 0, 1 / jnp.where(rest > 0, rest, 1.0), jnp.inf)}

    return Law(
        name="saturating_power_law" if output == "loss" else f"saturating_power_law:{output}",
        title=f"{output.capitalize()} against one input, saturating",
        equation=f"y({x}) = a * (1 / {x} + g)^c",
        citation="M3 of Alabdulmohsin et al. 2022, arXiv 2209.06640; Bansal et al. 2022, arXiv 2202.01994",
        use="one thing is scaled while another that stays fixed takes over in the end",
        avoid="curves whose floor and bend are not those of a single crossover",
        inputs=(axis.input,),
        parameters=(
            Parameter("a_ref", LEVEL[output], f"{output} at {axis.text} had it not saturated, in {UNIT[output]}"),
            Parameter("c", LogNormal(-1.6, 0.7), f"exponent of {x} before it saturates"),
            # Five decades or so beyond the reference, give or take three: where a ladder that begins at the reference may end.
            Parameter("x_sat", LogNormal(round(log(axis.reference) + 6, 1), 3.5), f"{x} at which the curve saturates, 1/g"),
        ),
        formula=formula,
        derived=derived,
        invert=invert,
        terms=(Term("a_ref", "c", x, axis.reference),),
        decreasing_in=(x,),
        checks=(*(CHECKS.get(x, ()) if output == "loss" else ()), replace(PLAIN, inputs={x: 1e4})),
        output=output,
        decision=needed_for_target(axis, output, answer),
    )


LAW = of_loss_and_error(_law)
