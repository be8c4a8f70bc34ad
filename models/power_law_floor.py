"""Power law with a floor: loss, or an error rate, against any one input.

    L(x) = E + a * x^(-c)

The form of Hestness et al. 2017 (arXiv 1712.00409), Henighan et al. 2020 (arXiv 2010.14701) and M2 of Alabdulmohsin et al. 2022
(arXiv 2209.06640).

When to use it: one learning or scaling curve on which one thing varies and everything else is ample or follows it.
When not: runs in which two things vary at once (use `chinchilla`); curves with a plateau or a break.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.curves import UNIT, needed_for_target, of_loss_and_error
from bayes_scaling.law import Check, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

PORIAN = "Porian et al. 2024, arXiv 2406.19146"


def _frontier(E, coefficient, exponent, source, note=""):
    return Published({"E": E, "a": coefficient, "c": exponent}, source, note=note)


PUBLISHED = {
    "compute": {
        "porian_first": _frontier(2.01, 128.93, 0.106, PORIAN, "frontier over the smallest budgets; E is poorly identified"),
        "porian_second": _frontier(1.78, 97.27, 0.096, PORIAN, "with further budgets"),
        "porian_third": _frontier(1.68, 87.16, 0.092, PORIAN, "with all budgets"),
        "hoffmann_frontier": _frontier(
            1.69, 1071.364916, 0.153548387, "from Hoffmann et al. 2022, arXiv 2203.15556", "optimum of the rounded law at compute = 6ND"
        ),
        "besiroglu_frontier": _frontier(
            1.8172, 2708.497546, 0.178286, "from Besiroglu et al. 2024, arXiv 2404.10102", "optimum of the law at compute = 6ND"
        ),
    },
    "params": {
        "hoffmann_params": _frontier(1.69, 406.4, 0.34, "from Hoffmann et al. 2022, arXiv 2203.15556", "the law's limit at unlimited data"),
        "besiroglu_params": _frontier(
            1.8172, 482.01, 0.3478, "from Besiroglu et al. 2024, arXiv 2404.10102", "the law's limit at unlimited data"
        ),
    },
    "tokens": {
        "hoffmann_tokens": _frontier(1.69, 410.7, 0.28, "from Hoffmann et al. 2022, arXiv 2203.15556", "the law's limit at unlimited size"),
        "besiroglu_tokens": _frontier(
            1.8172, 2085.43, 0.3658, "from Besiroglu et al. 2024, arXiv 2404.10102", "the law's limit at unlimited size"
        ),
    },
}
CHECKS = {
    "compute": (
        Check("porian_first", {"compute": 1e20}, 2.988034),
        Check("hoffmann_frontier", {"compute": 5.76e23}, 1.930748),
        Check("besiroglu_frontier", {"compute": 5.76e23}, 1.974441, 1e-5),
    ),
    "params": (Check("hoffmann_params", {"params": 1e9}, 2.0439596),),
    "tokens": (Check("hoffmann_tokens", {"tokens": 2e10}, 2.2260883),),
}
#: Of the formula itself, where nobody published values: 0.1 + 2 * 1e4^-0.5.
PLAIN = {"E": 0.1, "a": 2.0, "c": 0.5}

#: By output: priors of floor and of the reducible part at the reference.
PRIORS = {"loss": (LogNormal(0.4, 0.7), LogNormal(-0.7, 1.5)), "error": (LogNormal(-3.5, 1.5), LogNormal(-1.6, 1.0))}


def _law(axis, output):
    x = axis.name

    def formula(inputs, p):
        return p["E"] + power(p["a"], p["c"], inputs[x])

    def answer(p, given):
        reducible = given["target"] - p["E"]
        return {x: jnp.where(reducible > 0, (p["a"] / jnp.where(reducible > 0, reducible, 1.0)) ** (1 / p["c"]), jnp.inf)}

    unit = UNIT[output]
    floor, reducible = PRIORS[output]
    published = PUBLISHED.get(x, {}) if output == "loss" else {}
    return Law(
        name="power_law_floor" if output == "loss" else f"power_law_floor:{output}",
        title=f"{output.capitalize()} against one input, with a floor",
        equation=f"L({x}) = E + a * {x}^(-c)",
        citation="Hestness et al. 2017, arXiv 1712.00409; Henighan et al. 2020, arXiv 2010.14701",
        use="one curve along which one thing varies and the rest is ample or follows it",
        avoid="runs in which two things vary at once; curves with a plateau or a break",
        inputs=(axis.input,),
        parameters=(
            Parameter("E", floor, f"irreducible {output} in {unit}"),
            Parameter("a_ref", reducible, f"reducible {output} at {axis.text}, in {unit}"),
            Parameter("c", LogNormal(-1.6, 0.7), f"exponent of {x}"),
        ),
        formula=formula,
        terms=(Term("a_ref", "c", x, axis.reference, "a"),),
        sums=(("E", "a_ref"),),
        decreasing_in=(x,),
        published=published,
        checks=CHECKS.get(x, ()) if published else (Check("", {x: 1e4}, 0.12, values=PLAIN),),
        output=output,
        decision=needed_for_target(axis, output, answer),
    )


LAW = of_loss_and_error(_law)
