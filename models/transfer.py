"""Transfer: fine-tuning data that pre-training was worth, for a model of N parameters fine-tuned on D_F characters.

    D_T(D_F, N) = k D_F^alpha N^beta        D_E = D_F + D_T

Hernandez et al. 2021 (arXiv 2102.01293): D_T is how much more of the fine-tuning data a model of the same size would have needed to
reach the fine-tuned model's loss from scratch. Data are counted in characters, not tokens; N are parameters without embeddings. The
effective data D_E / D_F = 1 + D_T / D_F multiply what was collected.

The variant ``transfer:loss`` puts D_T in the place of D in the joint law of Kaplan et al. 2020:

    L(D_F, N) = [(Nc/N)^(alpha_N/alpha_D) + Dc / (k D_F^alpha_F N^beta_F)]^alpha_D

When to use it: few data, D_F at most 10 % of D(N), the data with which a model of size N comes within 1 % of its loss on unlimited data.
When not: more data than that, where pre-training is worth less than D_T says, and can harm a small model (ossification), which this law
knows nothing of; and other pairs of distributions than the one it was fitted to, each of which has exponents of its own.

What the literature has wrong: one encyclopedia counts the data in tokens. A figure of the paper puts the multiplier of a model of 4e7
parameters, pre-trained on text and fine-tuned on 3e5 characters, near 1000; its published coefficients give 475.6 (``mix``: 1819).

The authors fitted no runs with the law itself: they fitted the fraction D_T / D_E by a logistic curve for each D_F, and then those fits.
"""

import math

import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.numeric import crossing

HERNANDEZ = "Hernandez et al. 2021, arXiv 2102.01293"
# Where coefficients are stated: the case that the paper names, among its smallest data sets and models.
CHARACTERS_REFERENCE, PARAMS_REFERENCE = 3e5, 4e7
MOST_PARAMS = 1e18  # up to which a model is looked for

CHARACTERS = Input("finetune_characters", "count", "characters (not tokens) of fine-tuning data", 1e5, 1e10)
PARAMS = Input("params", "count", "parameters without embeddings", 1e6, 1e11)


def formula(inputs, p):
    return jnp.exp(jnp.log(p["k"]) + p["alpha"] * jnp.log(inputs["finetune_characters"]) + p["beta"] * jnp.log(inputs["params"]))


def _scale(p):
    """Return D_F^alpha N^beta at the references."""
    return CHARACTERS_REFERENCE ** p["alpha"] * PARAMS_REFERENCE ** p["beta"]


def derived(p):
    return {"k": p["D_T_ref"] / _scale(p)}


def invert(p):
    return {"D_T_ref": p["k"] * _scale(p), "alpha": p["alpha"], "beta": p["beta"]}


def effective(characters, params, p):
    return characters + formula({"finetune_characters": characters, "params": params}, p)


def needed(target, params, p):
    """Return the least D_F of at least one character whose effective data reach the target."""

    def missing(log_characters):
        return -jnp.log(effective(jnp.exp(log_characters), params, p))

    # The target itself, collected, is always enough.
    most = jnp.log(jnp.maximum(target, 1.0)) + jnp.zeros_like(p["alpha"] * params)
    return jnp.exp(jnp.minimum(crossing(missing, -most, 0.0, most), most))


def answer(p, given):
    characters, params = given["finetune_characters"], given["params"]
    transferred = formula(given, p)
    return {
        "transferred_characters": transferred,
        "multiplier": 1 + transferred / characters,
        "needed_characters": needed(given["target"], params, p),
        "same_as_10x_params": needed(effective(characters, 10 * params, p), params, p),
        "data_exponent": p["beta"] / p["alpha"],
    }


# The joint law: both terms are stated as the loss that each alone would leave at the references, and by their slopes in the loss. alpha_D
# then only says how sharply one term takes over from the other, which runs show badly and which bends nothing else.


def _terms(inputs, p):
    """Return the logs of both terms inside the brackets."""
    log_params = jnp.log(inputs["params"] / PARAMS_REFERENCE)
    size = (jnp.log(p["size_ref"]) - p["alpha_N"] * log_params) / p["alpha_D"]
    rest = (jnp.log(p["data_ref"]) - p["size_slope"] * log_params) / p["alpha_D"]
    return size, rest - p["data_slope"] / p["alpha_D"] * jnp.log(inputs["finetune_characters"] / CHARACTERS_REFERENCE), rest


def loss_formula(inputs, p):
    size, data, _ = _terms(inputs, p)
    return jnp.exp(p["alpha_D"] * jnp.logaddexp(size, data))


def loss_derived(p):
    alpha, beta = p["data_slope"] / p["alpha_D"], p["size_slope"] / p["alpha_D"]
    data = p["data_ref"] ** (1 / p["alpha_D"])
    return {
        "alpha_F": alpha,
        "beta_F": beta,
        "Nc": PARAMS_REFERENCE * p["size_ref"] ** (1 / p["alpha_N"]),
        "Dc_per_k": data * CHARACTERS_REFERENCE**alpha * PARAMS_REFERENCE**beta,
    }


def loss_invert(p):
    data = p["Dc_per_k"] / (CHARACTERS_REFERENCE ** p["alpha_F"] * PARAMS_REFERENCE ** p["beta_F"])
    return {
        "size_ref": (p["Nc"] / PARAMS_REFERENCE) ** p["alpha_N"],
        "data_ref": data ** p["alpha_D"],
        "alpha_N": p["alpha_N"],
        "alpha_D": p["alpha_D"],
        "data_slope": p["alpha_D"] * p["alpha_F"],
        "size_slope": p["alpha_D"] * p["beta_F"],
    }


def loss_answer(p, given):
    size, _, rest = _terms(given, p)
    target = jnp.log(given["target"]) / p["alpha_D"]
    room = target - size  # ln of how far the size term alone is below the target
    left = target + jnp.log(-jnp.expm1(-jnp.where(room > 0, room, 1.0)))
    log_characters = math.log(CHARACTERS_REFERENCE) + (rest - left) * p["alpha_D"] / p["data_slope"]

    def at(log_params):
        return loss_formula({**given, "params": jnp.exp(log_params)}, p)

    return {
        "loss": loss_formula(given, p),
        "needed_characters": jnp.where(room > 0, jnp.maximum(jnp.exp(log_characters), 1.0), jnp.inf),
        "needed_params": jnp.exp(crossing(at, given["target"] + jnp.zeros_like(size), 0.0, math.log(MOST_PARAMS))),
    }


LOSS = Law(
    name="transfer:loss",
    title="Loss after fine-tuning against data and parameters",
    equation="L(D_F, N) = [(Nc/N)^(alpha_N/alpha_D) + Dc / (k D_F^alpha_F N^beta_F)]^alpha_D",
    citation=f"{HERNANDEZ}; the joint law of Kaplan et al. 2020, arXiv 2001.08361",
    use="pre-trained models of several sizes, each fine-tuned on several small amounts of the same data",
    avoid="fine-tuning data above 10 % of what the model needs from scratch; zero-shot losses; losses of other tokenisers on one curve",
    inputs=(CHARACTERS, PARAMS),
    parameters=(
        Parameter("size_ref", LogNormal(0.7, 0.5), f"loss left by finite size alone, at {PARAMS_REFERENCE:.2g} params, in nat/token"),
        Parameter("data_ref", LogNormal(0.2, 0.7), "loss left by finite data alone, at 3e5 characters and 4e7 params, in nat/token"),
        Parameter("alpha_N", LogNormal(-2.4, 0.5), "exponent of params in the loss, data unlimited"),
        Parameter("alpha_D", LogNormal(-2.0, 0.5), "exponent of effective data in the loss, size unlimited"),
        Parameter("data_slope", LogNormal(-3.8, 0.7), "alpha_D alpha_F: exponent of fine-tuning data in the loss, where data limit it"),
        Parameter("size_slope", LogNormal(-3.1, 0.7), "alpha_D beta_F: exponent of params in the loss, where data limit it"),
    ),
    formula=loss_formula,
    derived=loss_derived,
    invert=loss_invert,
    decreasing_in=("finetune_characters", "params"),
    decision=Decision(
        question="which loss does fine-tuning reach, and what does a target need: more fine-tuning data or a larger pre-trained model?",
        given=(
            Input("finetune_characters", "count", "characters of fine-tuning data at hand"),
            Input("params", "count", "parameters of the model at hand, without embeddings"),
            Input("target", "nat/token", "loss to reach"),
        ),
        answers=(
            Input("loss", "nat/token", "loss of this model after fine-tuning on these data"),
            Input("needed_characters", "count", "characters that bring this model to the target (inf: none do)"),
            Input("needed_params", "count", "size of a model that the data at hand bring to the target"),
        ),
        answer=loss_answer,
        example={"finetune_characters": 1e7, "params": 1e8, "target": 1.8},
    ),
    # The paper's Nc, Dc, alpha_N and alpha_D are not known here. Round values instead: sqrt((1e12/1e8)^0.25 + 2e6 / (1e7^0.2 1e8^0.5)).
    checks=(
        Check(
            "",
            {"finetune_characters": 1e7, "params": 1e8},
            4.238176897,
            1e-7,
            values=loss_invert({"Nc": 1e12, "Dc_per_k": 2e6, "alpha_N": 0.125, "alpha_D": 0.5, "alpha_F": 0.2, "beta_F": 0.5}),
        ),
    ),
)


def _set(k, alpha, pretrained_on):
    return Published({"k": k, "alpha": alpha, "beta": 0.38}, HERNANDEZ, note=f"pre-trained on {pretrained_on}, fine-tuned on Python")


LAW = Law(
    name="transfer",
    title="Fine-tuning data that pre-training is worth",
    equation="D_T(D_F, N) = k D_F^alpha N^beta",
    citation=HERNANDEZ,
    use="fine-tuning on few data: what pre-training and size add to them, in characters of fine-tuning data",
    avoid="fine-tuning data above 10 % of what the model needs from scratch; data in tokens; values of another pair of distributions",
    inputs=(CHARACTERS, PARAMS),
    parameters=(
        Parameter("D_T_ref", LogNormal(19.0, 1.5), "characters transferred to 4e7 params fine-tuned on 3e5 characters"),
        Parameter("alpha", Beta(2.0, 4.0), "exponent of fine-tuning data: small where the distributions are far apart"),
        Parameter("beta", Beta(2.0, 4.0), "exponent of params: how general the larger model is"),
    ),
    formula=formula,
    derived=derived,
    invert=invert,
    output="transferred_characters",
    decision=Decision(
        question="what is pre-training worth in fine-tuning data, and is it better to pre-train a larger model or to collect more data?",
        given=(
            Input("finetune_characters", "count", "characters of fine-tuning data at hand"),
            Input("params", "count", "parameters of the model at hand, without embeddings"),
            Input("target", "count", "effective characters D_E to reach"),
        ),
        answers=(
            Input("transferred_characters", "count", "characters that pre-training is worth, D_T"),
            Input("multiplier", "", "effective data over data at hand, D_E / D_F = 1 + D_T / D_F"),
            Input("needed_characters", "count", "characters to collect in all for the target, at this size (1: none)"),
            Input(
                "same_as_10x_params",
                "count",
                "characters to collect in all for the D_E that a model 10 times as large has on the data at hand",
            ),
            Input("data_exponent", "", "beta / alpha: a model c times as large transfers as much as c^(beta/alpha) times the data"),
        ),
        answer=answer,
        example={"finetune_characters": 3e5, "params": 4e7, "target": 1e9},
    ),
    published={
        "text": _set(1.9e4, 0.18, "text"),
        "mix": _set(2.1e5, 0.096, "half text, half code that is not Python"),
    },
    checks=(
        Check("text", {"finetune_characters": 3e5, "params": 4e7}, 1.423699e8),
        Check("mix", {"finetune_characters": 3e5, "params": 4e7}, 5.455138e8),
        Check("text", {"finetune_characters": 3e6, "params": 4e7}, 1.423699e8 * 1.5136, 4e-5),
        Check("text", {"finetune_characters": 3e5, "params": 4e8}, 1.423699e8 * 2.3988, 4e-5),
    ),
    variants={"loss": LOSS},
)
