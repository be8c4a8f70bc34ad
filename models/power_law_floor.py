"""Power law with a floor: loss against any one of params, tokens or compute.

    L(x) = E + a * x^(-c)

The form of Hestness et al. 2017 (arXiv 1712.00409), Henighan et al. 2020 (arXiv 2010.14701) and M2 of Alabdulmohsin et al. 2022
(arXiv 2209.06640).

When to use it: one learning or scaling curve on which one thing varies and everything else is ample or follows it.
When not: runs in which two things vary at once (use `chinchilla`); curves with a plateau or a break.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Input, Law, Parameter, Published, Term

# The scale at which the prior of the coefficient is stated, by input: where published language-model ladders begin.
REFERENCE = {"params": 1.8e7, "tokens": 7e8, "compute": 1e18}
UNIT = {"params": "count", "tokens": "count", "compute": "FLOP"}
MEANING = {"params": "parameters of the model", "tokens": "training tokens", "compute": "training compute"}

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


def _law(x: str, alternatives=None) -> Law:
    def formula(inputs, parameters):
        p = parameters
        return p["E"] + jnp.exp(jnp.log(p["a"]) - p["c"] * jnp.log(inputs[x]))

    return Law(
        name="power_law_floor",
        title=f"Loss against {x}, with a floor",
        equation=f"L({x}) = E + a * {x}^(-c)",
        citation="Hestness et al. 2017, arXiv 1712.00409; Henighan et al. 2020, arXiv 2010.14701",
        use="one curve along which one thing varies and the rest is ample or follows it",
        avoid="runs in which two things vary at once; curves with a plateau or a break",
        inputs=(Input(x, UNIT[x], MEANING[x]),),
        parameters=(
            Parameter("E", LogNormal(0.4, 0.7), "irreducible loss in nat/token"),
            Parameter("a_ref", LogNormal(-0.7, 1.5), f"reducible loss at {x} = {REFERENCE[x]:.2g} {UNIT[x]}, in nat/token"),
            Parameter("c", LogNormal(-1.6, 0.7), f"exponent of {x}"),
        ),
        formula=formula,
        derived=lambda p: {"a": p["a_ref"] * REFERENCE[x] ** p["c"]},
        invert=lambda p: {"E": p["E"], "a_ref": p["a"] * REFERENCE[x] ** -p["c"], "c": p["c"]},
        terms=(Term("a_ref", "c", x, REFERENCE[x]),),
        decreasing_in=(x,),
        published=PUBLISHED[x],
        checks=CHECKS[x],
        alternatives=alternatives or {},
    )


LAW = _law("params", {x: _law(x) for x in ("tokens", "compute")})
