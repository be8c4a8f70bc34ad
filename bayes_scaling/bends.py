"""A law of a fraction whose slope may wander from the law's: for predictions beyond the data that own up to the form being a guess.

    logit y = logit f(x) + delta(x),    d^2 delta = scale dW,    delta = delta' = 0 at a declared anchor

No simple form is the truth. Runs show by how much: residuals that go together along the input are the form's misfit, and it goes on beyond
the runs, where nothing holds it. An integrated Wiener process (the prior whose posterior mean is a cubic smoothing spline: Wahba 1978;
Kennedy & O'Hagan 2001 on discrepancies of computer models) says so: its spread grows as (distance beyond the runs)^1.5, and its scale is
learned from the bends among the runs. It is made of slopes that change at declared knots, each by scale * sqrt(step) times a standard
normal deviate. Deviates of knots that no run passes stay at their prior: that is the uncertainty meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bayes_scaling.law import Check, Decision, Law, Parameter, Values
from bayes_scaling.numeric import kept_inside

SCALE, DEVIATE = "bend", "bend_{}"


def bent(law: Law, variant: str, knots: Sequence[float], anchor: float, prior: Any, check: Check) -> Law:
    """Return a law of a fraction, of one input, whose logit departs from the given law's by a slope that wanders.

    Parameters
    ----------
    variant : name of the new law after the given law's family, ``bounded_metric:bent``
    knots : values of the input at which the slope may change, evenly spaced; they bound how far the wandering grows
    anchor : value of the input, typical of runs, where the departure is zero and flat: level and slope there are the law's. Declared,
        never computed from the data
    prior : of the scale, in logits per (unit of the input)^1.5: after a distance d the departure has a standard deviation of
        scale * sqrt(d^3 / 3)
    check : a value that the formula must give
    """
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import logit
    from numpyro.distributions import Normal

    (item,) = law.inputs
    step = (knots[-1] - knots[0]) / (len(knots) - 1)
    names = [DEVIATE.format(i + 1) for i in range(len(knots))]

    def departure(x: Any, p: Values) -> Any:
        parts = (
            p[name] * (jnp.maximum(x - knot, 0.0) if knot >= anchor else jnp.maximum(knot - x, 0.0))
            for name, knot in zip(names, knots, strict=True)
        )
        return p[SCALE] * step**0.5 * sum(parts)

    def formula(inputs: Values, p: Values) -> Any:
        straight = kept_inside(law.formula(inputs, p))
        return kept_inside(jax.nn.sigmoid(logit(straight) + departure(inputs[item.name], p)))

    return replace(
        law,
        name=f"{law.name.split(':')[0]}:{variant}",
        title=f"{law.title}, its slope free to wander",
        equation=f"logit of: {law.equation}, + delta, d^2 delta = bend dW along {item.name}, flat at {anchor:g}",
        use=f"{law.use}; to predict beyond the runs, with the misfit of the form in the interval",
        avoid="reading parameters: what the law says and what departs from it are told apart by the prior of bend alone",
        parameters=(
            *law.parameters,
            Parameter(SCALE, prior, f"how fast the slope of the logit wanders, in logit/({item.unit})^1.5", departure=True),
            *(
                Parameter(name, Normal(0.0, 1.0), f"change of slope at {knot:.4g} {item.unit}, in standard deviations", latent=True)
                for name, knot in zip(names, knots, strict=True)
            ),
        ),
        formula=formula,
        published={},
        checks=(check,),
        decreasing_in=(),
        decision=_by_search(law, formula),
        variants={},
    )


def straight(knots: Sequence[float]) -> dict[str, float]:
    """Return the values of bend parameters with which a bent law is the law itself."""
    return {SCALE: 1.0, **{DEVIATE.format(i + 1): 0.0 for i in range(len(knots))}}


def _by_search(law: Law, formula: Any) -> Decision:
    """Return the question of a law (output at a loss, highest loss that reaches a target), the loss found on a grid over its domain."""
    import jax.numpy as jnp

    (item,) = law.inputs
    assert law.decision is not None  # every law that is bent has one
    grid = jnp.linspace(item.low, item.high, 1001)
    sign = -1.0 if law.output == "error" else 1.0

    def answer(p: Values, given: Values) -> dict[str, Any]:
        one = {name: jnp.asarray(value)[..., None] for name, value in p.items()}
        gap = sign * (formula({item.name: grid}, one) - jnp.asarray(given["target"])[..., None])
        last = gap.shape[-1] - 1 - jnp.argmax((gap >= 0)[..., ::-1], axis=-1)  # highest point of the grid that reaches the target
        here, there = (jnp.take_along_axis(gap, i[..., None], axis=-1)[..., 0] for i in (last, jnp.minimum(last + 1, len(grid) - 1)))
        between = jnp.where(here > there, here / jnp.where(here > there, here - there, 1.0), 0.0)
        needed = grid[last] + between * (grid[1] - grid[0])
        needed = jnp.where(jnp.any(gap >= 0, axis=-1), jnp.where(last == len(grid) - 1, jnp.inf, needed), 0.0)
        return {law.output: formula(given, p), "needed_loss": needed}

    return replace(law.decision, answer=answer)
