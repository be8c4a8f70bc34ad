"""Plain power law: loss, or an error rate, against any one input.

    y(x) = a * x^(-c)

M1 of Alabdulmohsin et al. 2022 (arXiv 2209.06640); the form of Hestness et al. 2017 (arXiv 1712.00409) without a floor.

When to use it: as the simplest curve to compare others with, and where the measured range shows no bend on log-log axes.
When not: far extrapolation. It has no floor, so it promises any value at all, and exponents fitted without a floor are smaller than
those fitted with one: the two must not be compared. On the translation curves of Alabdulmohsin et al. 2022 it misses the next doubling
of the data by 17 to 26 %.
"""

from dataclasses import replace

from numpyro.distributions import LogNormal

from bayes_scaling.curves import UNIT, needed_for_target, of_loss_and_error
from bayes_scaling.law import Check, Law, Parameter, Published, Term
from bayes_scaling.numeric import power

HESTNESS = "Hestness et al. 2017, arXiv 1712.00409"
PUBLISHED = {
    "tokens": {"hestness_word": Published({"a": 11.9, "c": 0.066}, HESTNESS, note="word language models; tokens are words")},
}
CHECKS = {"tokens": (Check("hestness_word", {"tokens": 1e8}, 3.528149),)}
#: Of the formula itself, where nobody published values: 2 * 1e4^-0.5.
PLAIN = Check("", {}, 0.02, values={"a": 2.0, "c": 0.5})

#: By output: prior of the curve at the reference.
LEVEL = {"loss": LogNormal(1.0, 1.0), "error": LogNormal(-1.2, 0.8)}


def _law(axis, output):
    x = axis.name

    def formula(inputs, p):
        return power(p["a"], p["c"], inputs[x])

    def answer(p, given):
        return {x: (p["a"] / given["target"]) ** (1 / p["c"])}

    published = PUBLISHED.get(x, {}) if output == "loss" else {}
    return Law(
        name="power_law" if output == "loss" else f"power_law:{output}",
        title=f"{output.capitalize()} against one input, without a floor",
        equation=f"y({x}) = a * {x}^(-c)",
        citation="Hestness et al. 2017, arXiv 1712.00409; M1 of Alabdulmohsin et al. 2022, arXiv 2209.06640",
        use="the simplest curve to compare others with; ranges that show no bend on log-log axes",
        avoid="extrapolation beyond a few doublings: it has no floor; comparing its exponent with that of a law with a floor",
        inputs=(axis.input,),
        parameters=(
            Parameter("a_ref", LEVEL[output], f"{output} at {axis.text}, in {UNIT[output]}"),
            # Over curves of text, translation and images: 0.04 to 0.5, smaller than with a floor.
            Parameter("c", LogNormal(-2.0, 0.8), f"exponent of {x}"),
        ),
        formula=formula,
        terms=(Term("a_ref", "c", x, axis.reference, "a"),),
        decreasing_in=(x,),
        published=published,
        checks=CHECKS[x] if published else (replace(PLAIN, inputs={x: 1e4}),),
        output=output,
        decision=needed_for_target(axis, output, answer),
    )


LAW = of_loss_and_error(_law)
