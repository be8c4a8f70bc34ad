"""Densing law: capability density of open models grows exponentially with time.

    z(N, D) = z_inf - A (N/1e9)^-alpha - B (D/1e12)^-beta         reference models: logit of the score between floor and ceiling
    score = floor + (ceiling - floor) / (1 + e^-z)
    rho = N_eff / N, z(N_eff, 1e12) = z of the model               density: a reference model of N_eff params would score the same
    ln rho <= level + growth * day                                 the densest models of a day

Xiao et al. 2024 (arXiv 2412.04315; Nature Machine Intelligence 2025): a loss a N^-alpha + b D^-beta of small reference models, a sigmoid
from loss to score, its inversion at 1e12 tokens, and a straight line through the highest ln(density) of each day.

What is done differently, and why. The paper fits the four steps one after another by least squares and hands point values on; here they
are one posterior. Losses of reference models are rarely public, and a sigmoid of a loss only knows the loss up to scale and shift: A, B
and z_inf are that loss in units of the sigmoid. The line is a FRONTIER: a model lies below it by an excess that is exponential with mean
`behind`, integrated over, so that no model of a day must be chosen. Nothing is inverted in the fit: a score outside (floor, ceiling) has no
density, but it has a likelihood, and it says what a censored value can say.

A row is a model: params, tokens and score of a reference model (reference = 1), whose density is 1; params, day of release and score of
another (reference = 0), whose own training tokens play no part: to train longer is one way to be dense. Noise: a logistic about each score
that the excess allows, cut off at 0 and 1, with the variance of beta-binomial counts of `trials` items: exact counts at every node cost
many times as much, and with hundreds of items hardly differ.

When to use it: scores of one benchmark for models of many families and dates. When not: benchmarks that leaked into the training data of
later models, which grow dense by it; extrapolation by years: an exponential of density meets the floor of what few parameters can hold.

What the paper leaves open: a, b, alpha, beta, the sigmoid and the line's level are not stated; of the published sets only `growth` is
theirs. Their months are of different length: ln 2 / 0.007 is 99 days.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import logit
from numpyro.distributions import Beta, LogNormal, Normal, constraints

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.noise import Noise
from bayes_scaling.numeric import LEAST

XIAO = "Xiao et al. 2024, arXiv 2412.04315"
PARAMS, TOKENS = 1e9, 1e12  # where terms of the reference law are stated; density is defined at TOKENS
# Of the excess, in units of its mean: evenly spaced, and far enough that one model in a thousand lies beyond. Each node is blurred by 0.75
# of a step, 15 % of the mean excess, beside the counts: else a benchmark that resolves less than a step makes a comb of the likelihood.
STEP, NODES, BLUR = 0.2, 35, 0.75

MODEL = Input("params", "count", "parameters of the model", 5e7, 1e12)
DAY = Input("day", "day", "day of release, counted from any day, the same for all models", -1000.0, 1500.0)


def _effective(inputs, p, excess):
    """Return ln(N_eff / 1e9) of a model that lies below the frontier by an excess of ln(density)."""
    density = jnp.where(inputs["reference"] >= 0.5, 0.0, p["level"] + p["growth"] * inputs["day"] - excess)
    return jnp.log(inputs["params"] / PARAMS) + density


def _score(inputs, p, excess):
    """Return the score of a model that lies below the frontier by an excess, and by how much it falls with the excess."""
    tokens = jnp.where(inputs["reference"] >= 0.5, inputs["tokens"], TOKENS)
    data = p["B_ref"] * jnp.exp(-p["beta"] * jnp.log(tokens / TOKENS))
    # Far below the reference sizes the score is that of guessing, however far: the cut keeps the exponential finite.
    size = p["A_ref"] * jnp.exp(jnp.minimum(-p["alpha"] * _effective(inputs, p, excess), 20.0))
    share = jax.nn.sigmoid(p["z_inf"] - size - data)
    span = (1 - 2 * LEAST) * (p["ceiling"] - p["floor"])
    slope = jnp.where(inputs["reference"] >= 0.5, 0.0, span * share * (1 - share) * p["alpha"] * size)
    return LEAST + (1 - 2 * LEAST) * p["floor"] + span * share, slope


def derived(p):
    return {"z_inf": p["z_ref"] + p["B_ref"]}


def invert(p):
    return {**{name: value for name, value in p.items() if name != "z_inf"}, "z_ref": p["z_inf"] - p["B_ref"]}


def formula(inputs, p):
    return _score(inputs, p, p["behind"] * math.log(2.0))[0]  # the median model of the day


def _excesses():
    return STEP * (jnp.arange(NODES) + 0.5)


def _weights():
    weights = jnp.exp(-_excesses())
    return weights / weights.sum()


class ScoreBelowFrontier(dist.Distribution):
    """Scores of models whose excess below the frontier is exponential, as a mixture over even steps of it.

    ``means``, ``scales``: shape (..., NODES).
    """

    arg_constraints = {"means": constraints.real, "scales": constraints.positive}  # noqa: RUF012 (numpyro's own form)
    support: Any = constraints.unit_interval

    def __init__(self, means, scales, *, validate_args=None):
        self.means, self.scales = jnp.broadcast_arrays(means, scales)
        super().__init__(self.means.shape[:-1], validate_args=validate_args)

    @property
    def mean(self):
        return self.means @ _weights()

    def _below(self, value):
        """Return the mass of each node's logistic between 0 and a value."""
        return jax.nn.sigmoid((value - self.means) / self.scales) - jax.nn.sigmoid(-self.means / self.scales)

    def log_prob(self, value, intermediates=None):
        # Summed as it is: tails are exponential, and no score is so many scales away that all nodes vanish.
        tail = jnp.exp(-jnp.abs(jnp.asarray(value)[..., None] - self.means) / self.scales)
        return jnp.log(jnp.sum(_weights() * tail / ((1 + tail) ** 2 * self.scales * self._below(1.0)), axis=-1))

    def cdf(self, value):
        return jnp.sum(_weights() * self._below(jnp.asarray(value)[..., None]) / self._below(1.0), axis=-1)

    def sample(self, key: Any, sample_shape=()):
        first, second = jax.random.split(key)
        shape = (*sample_shape, *self.batch_shape)
        node = jax.random.categorical(first, jnp.log(_weights()), shape=shape)[..., None]
        means, scales = (
            jnp.take_along_axis(jnp.broadcast_to(part, (*shape, NODES)), node, axis=-1)[..., 0] for part in (self.means, self.scales)
        )
        low, high = jax.nn.sigmoid(-means / scales), jax.nn.sigmoid((1 - means) / scales)
        return jnp.clip(means + scales * logit(low + (high - low) * jax.random.uniform(second, shape)), 0.0, 1.0)


def _distribution(curve, p, columns):
    wide = {name: jnp.asarray(value)[..., None] for name, value in {**p, **columns}.items()}
    means, slope = _score(wide, wide, wide["behind"] * _excesses())
    correlation = wide["rho"] / (1 + wide["rho"])
    variance = means * (1 - means) * (1 + (wide["trials"] - 1) * correlation) / wide["trials"]
    blur = slope * BLUR * STEP * wide["behind"]
    return ScoreBelowFrontier(means, jnp.sqrt(variance + blur**2) * (math.sqrt(3) / math.pi))


NOISE = Noise(
    "below-frontier",
    "models below the frontier by an exponential excess of ln(density); counts of test items (column trials), correlated within a model",
    (Parameter("rho", LogNormal(-6.0, 1.5), "correlation of the items of one model (as rho / (1 + rho)): scatter beyond binomial"),),
    _distribution,
    needs=("trials",),
    spread=True,
)


def answer(p, given):
    share = (given["target"] - p["floor"]) / (p["ceiling"] - p["floor"])
    inside = (share > 0) & (share < 1)
    reducible = p["z_inf"] - p["B_ref"] - logit(jnp.where(inside, share, 0.5))
    reachable = inside & (reducible > 0)
    needed = jnp.log(jnp.where(reachable, p["A_ref"] / jnp.where(reachable, reducible, 1.0), 1.0)) / p["alpha"]
    density = needed - jnp.log(given["params"] / PARAMS)
    # Guessing is enough for a target below the floor; nothing is for one above what endless reference models score.
    beyond = jnp.where(share <= 0, -jnp.inf, jnp.inf)
    growing = p["growth"] > 0
    day = jnp.where(growing, (density - p["level"]) / jnp.where(growing, p["growth"], 1.0), jnp.inf)
    smallest = PARAMS * jnp.exp(needed - p["level"] - p["growth"] * given["day"])
    shape = jnp.broadcast_shapes(jnp.shape(share), jnp.shape(density), jnp.shape(smallest))
    return {
        "day": jnp.broadcast_to(jnp.where(reachable, day, beyond), shape),
        "params": jnp.broadcast_to(jnp.where(reachable, smallest, jnp.where(share <= 0, 0.0, jnp.inf)), shape),
        "doubling": jnp.broadcast_to(jnp.where(growing, math.log(2.0) / jnp.where(growing, p["growth"], 1.0), jnp.inf), shape),
    }


#: What the paper does not state: a benchmark of four options on which reference models of 1e9 params are near guessing.
OURS = {
    **{"floor": 0.25, "ceiling": 0.97, "z_inf": 3.0, "A_ref": 5.0, "alpha": 0.3, "B_ref": 0.5, "beta": 0.3},
    **{"level": 0.0, "behind": 1.0},
}


def _growth(growth, note, source=XIAO):
    return Published({**OURS, "growth": growth}, source, note=f"{note}; only growth is stated, the other values are ours")


LAW = Law(
    name="densing",
    title="Capability density over time: the densest models of a day as a frontier",
    equation="score = floor + (ceiling - floor) sigmoid(z_inf - A (N rho/1e9)^-alpha - B (D/1e12)^-beta), ln rho <= level + growth day",
    citation=XIAO,
    use="scores of one benchmark for models of many families and dates, some of which serve as reference (density 1)",
    avoid="benchmarks that later models have trained on; forecasts by years",
    inputs=(
        MODEL,
        Input("tokens", "count", "training tokens of a reference model; of no account for others", 1e10, 2e13, default=TOKENS),
        DAY,
        Input("reference", "0 or 1", "1 for a reference model, whose density is 1", 0.0, 1.0, default=0.0),
    ),
    parameters=(
        Parameter("floor", Beta(3.0, 12.0), "score of guessing; hold it (--fix) where it is known"),
        Parameter("ceiling", Beta(30.0, 1.5), "highest score there can be"),
        # Of endless size, but at the tokens where density is defined: all but reference models of other tokens say this and no more.
        Parameter("z_ref", Normal(2.0, 1.5), f"logit of the score of endlessly large reference models of {TOKENS:.0e} tokens"),
        Parameter("A_ref", LogNormal(1.0, 0.8), f"size term at {PARAMS:.0e} params, in units of the sigmoid"),
        Parameter("alpha", LogNormal(-1.4, 0.5), "exponent of params of the reference law"),
        Parameter("B_ref", LogNormal(-1.0, 1.0), f"data term at {TOKENS:.0e} tokens, in units of the sigmoid"),
        Parameter("beta", LogNormal(-1.2, 0.5), "exponent of tokens of the reference law"),
        Parameter("level", Normal(0.0, 2.0), "ln of the highest density on day 0"),
        Parameter("growth", Normal(0.006, 0.003), "growth of ln of the highest density, a day (A in the paper)"),
        Parameter("behind", LogNormal(0.0, 0.7), "mean excess of ln of the highest density over that of a model"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    published={
        "arxiv": _growth(0.007, "29 models, doubling in 99 days, which the paper calls 3.3 months"),
        "after_chatgpt": _growth(0.0073, "models after the release of ChatGPT: 95 days"),
        "before_chatgpt": _growth(0.0048, "models before it: 144 days"),
        "latency": _growth(0.0066, "with latency in place of params: 105 days"),
        "nature": _growth(
            math.log(2) / (3.5 * 365.25 / 12), "51 models, doubling in 3.5 months", "Xiao et al. 2025, Nature Machine Intelligence"
        ),
    },
    checks=(
        # By hand: reference model of 1e9 params and 1e12 tokens, z = 3 - 5 - 0.5.
        Check("arxiv", {"params": 1e9, "tokens": 1e12, "day": 0.0, "reference": 1.0}, 0.25 + 0.72 / (1 + math.exp(2.5)), 1e-5),
        # The median model lies ln 2 below the frontier: 99.02 days later it is where the frontier was, a reference model's score.
        Check(
            "arxiv",
            {"params": 1e9, "tokens": 1e12, "day": math.log(2) / 0.007, "reference": 0.0},
            0.25 + 0.72 / (1 + math.exp(2.5)),
            1e-5,
        ),
    ),
    output="accuracy",
    drawn_against="day",  # the law is about time
    noise=NOISE,
    decision=Decision(
        question="when does a model of a given size reach a score, and how small can a model be that does?",
        given=(
            MODEL,
            Input("target", "fraction", "score to reach"),
            Input("day", "day", "day for which the smallest model is asked"),
        ),
        answers=(
            Input("day", "day", "first day on which a model of that size reaches it (-inf: guessing does; inf: never)"),
            Input("params", "count", "smallest model that reaches it on the day given"),
            Input("doubling", "day", "time in which the highest density doubles (inf: it does not grow)"),
        ),
        answer=answer,
        example={"params": 2e9, "target": 0.6, "day": 700.0},
    ),
)
