"""Weight-sparse models: loss against non-zero parameters, data and sparsity.

    L(S, N, D) = (a_S (1 - S)^b_S + c_S) N^(-b_N) + (a_D / D)^b_D + c

Frantar et al. 2023, "Scaling Laws for Sparsely-Connected Foundation Models" (arXiv 2309.08520). N counts the NON-ZERO parameters, so a
sparse model has N / (1 - S) weights before pruning; D is tokens (T5 on C4) or, for `weight_sparsity:vision`, images (ViT on JFT-4B).

When to use it: models pruned during training, unstructured, S up to 0.875.
When not: pruning after training; S near 1, where sparsity is worth no more than (1 + a_S / c_S)^(1 / b_N) times the size.

Sparse models cost more to train than dense ones of as many non-zero parameters: the paper's schedule trains densely for a quarter of the
steps, prunes along a cubic for a half (mean sparsity 3/4 S) and trains sparsely for the last quarter, which sums to 5/8 + 3/8 / (1 - S)
times the compute of a dense model of N parameters on the same data. So a budget that trains a dense model on D trains a sparse one
on less, and there is a best sparsity. In ln(1 - S) the loss at a budget is a sum of convex terms: the minimum is unique.
"""

from dataclasses import replace

import jax.numpy as jnp
from numpyro.distributions import Beta, LogNormal

from bayes_scaling import numeric
from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published, Term

PARAMS_REFERENCE = 1e7
MOST_SPARSE = 0.99


def capacity(sparsity, p):
    """a_S (1 - S)^b_S + c_S: what multiplies N^-b_N."""
    return jnp.exp(jnp.log(p["a_S"]) + p["b_S"] * jnp.log1p(-sparsity)) + p["c_S"]


def size_gain(sparsity, p):
    """Return how many times larger a dense model of the same loss is than the sparse model's non-zero parameters."""
    return jnp.exp(jnp.log((p["a_S"] + p["c_S"]) / capacity(sparsity, p)) / p["b_N"])


def training_factor(sparsity):
    """Training compute over that of a dense model of as many non-zero parameters on the same data."""
    return 0.625 + 0.375 / (1 - sparsity)


def _law(name, data, reference, what, published, checks, example):
    axis = data.name

    def formula(inputs, p):
        size = jnp.exp(jnp.log(capacity(inputs["sparsity"], p)) - p["b_N"] * jnp.log(inputs["params"]))
        return p["c"] + size + jnp.exp(p["b_D"] * (jnp.log(p["a_D"]) - jnp.log(inputs[axis])))

    def derived(sampled):
        whole = sampled["size_ref"] * PARAMS_REFERENCE ** sampled["b_N"]
        return {
            "a_S": whole * sampled["share_S"],
            "c_S": whole * (1 - sampled["share_S"]),
            "a_D": reference * sampled["data_ref"] ** (1 / sampled["b_D"]),
        }

    def invert(values):
        whole = values["a_S"] + values["c_S"]
        return {
            "c": values["c"],
            "size_ref": whole * PARAMS_REFERENCE ** -values["b_N"],
            "share_S": values["a_S"] / whole,
            "b_S": values["b_S"],
            "b_N": values["b_N"],
            "data_ref": (values["a_D"] / reference) ** values["b_D"],
            "b_D": values["b_D"],
        }

    def answer(p, given):
        params, budget = given["params"], given[axis]
        zero = 0 * (params + budget + p["c"])

        def loss(thinning):  # thinning: -ln(1 - S)
            sparsity = -jnp.expm1(-thinning)
            return formula({"params": params, axis: budget / training_factor(sparsity), "sparsity": sparsity}, p)

        best = numeric.minimum(loss, zero, zero - jnp.log1p(-MOST_SPARSE), grid=3)
        sparsity = -jnp.expm1(-best)
        return {
            "best_sparsity": sparsity + 0 * given["sparsity"],
            "trained_on": budget / training_factor(sparsity) + 0 * given["sparsity"],
            "loss": loss(best) + 0 * given["sparsity"],
            "loss_dense": loss(zero) + 0 * given["sparsity"],
            "best_size_gain": size_gain(sparsity, p) + 0 * given["sparsity"],
            "size_gain": size_gain(given["sparsity"], p) + zero,
        }

    return Law(
        name=name,
        title=f"Weight-sparse {what}: loss against non-zero parameters, {axis} and sparsity",
        equation="L(S, N, D) = (a_S (1 - S)^b_S + c_S) N^(-b_N) + (a_D / D)^b_D + c",
        citation=FRANTAR,
        use=f"{what} pruned during training that differ in non-zero size, {axis} and sparsity",
        avoid="pruning after training; structured sparsity; sparsity above 0.875 or so",
        inputs=(
            Input("params", "count", "non-zero parameters without embeddings", 3e5, 1e9),
            data,
            Input("sparsity", "fraction", "share of the weights that are zero", 0, 0.95),
        ),
        parameters=(
            Parameter("c", LogNormal(0.4, 0.8), "irreducible loss in nat"),
            Parameter("size_ref", LogNormal(0.0, 0.7), f"loss of a dense model from finite size at {PARAMS_REFERENCE:.2g} params, in nat"),
            Parameter("share_S", Beta(2.0, 4.0), "share of it that goes as S nears 1 at the same number of non-zero parameters"),
            Parameter("b_S", LogNormal(-0.3, 0.4), "exponent of 1 - S"),
            Parameter("b_N", LogNormal(-1.2, 0.5), "exponent of params"),
            Parameter("data_ref", LogNormal(-1.2, 1.2), f"loss from finite data at {reference:.2g} {axis}, in nat"),
            Parameter("b_D", LogNormal(-1.0, 0.6), f"exponent of {axis}"),
        ),
        formula=formula,
        derived=derived,
        invert=invert,
        terms=(Term("size_ref", "b_N", "params", PARAMS_REFERENCE), Term("data_ref", "b_D", axis, reference)),
        sums=(("c", "size_ref", "data_ref"),),
        decreasing_in=("params", axis, "sparsity"),
        decision=Decision(
            question="which sparsity is best for a number of non-zero parameters and a training budget, and what size is a sparsity worth?",
            given=(
                Input("params", "count", "non-zero parameters"),
                Input(axis, "count", f"budget: {axis} on which the same compute would train a dense model of that size"),
                Input("sparsity", "fraction", "sparsity whose gain in size is asked"),
            ),
            answers=(
                Input("best_sparsity", "fraction", "sparsity of least loss, up to 0.99"),
                Input("trained_on", "count", f"{axis} that the budget then allows"),
                Input("loss", "nat", "loss of that model"),
                Input("loss_dense", "nat", "loss of the dense model"),
                Input("best_size_gain", "", "size of the dense model of equal loss after equal data, over params"),
                Input("size_gain", "", "the same at the sparsity asked"),
            ),
            answer=answer,
            example=example,
            optional={"sparsity": 0.75},
        ),
        published={key: Published(dict(zip(NAMES, values, strict=True)), FRANTAR) for key, values in published.items()},
        checks=checks,
    )


FRANTAR = "Frantar et al. 2023, arXiv 2309.08520"
NAMES = ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")

VISION = _law(
    "weight_sparsity:vision",
    Input("examples", "count", "training images, repeats included", 1e8, 1e11),
    1e9,
    "vision transformers",
    {"vit": (294.0, 0.821, 468.0, 0.392, 2.37e8, 0.890, 4.517)},
    # By hand: 762 * 1e7^-0.392 + 0.237^0.89 + 4.517 at S = 0; (294 * 0.25^0.821 + 468) * 1e7^-0.392 + ... at S = 0.75.
    (
        Check("vit", {"params": 1e7, "examples": 1e9, "sparsity": 0.0}, 762 * 1e7**-0.392 + 0.237**0.89 + 4.517),
        Check("vit", {"params": 1e7, "examples": 1e9, "sparsity": 0.75}, (294 * 0.25**0.821 + 468) * 1e7**-0.392 + 0.237**0.89 + 4.517),
    ),
    {"params": 1e7, "examples": 1e10},
)
LAW = replace(
    _law(
        "weight_sparsity",
        Input("tokens", "count", "training tokens", 1e9, 1e12),
        1e10,
        "language models",
        {"t5": (16.8, 0.722, 45.0, 0.245, 6.9e8, 0.203, 0.651)},
        (
            Check("t5", {"params": 8.5e7, "tokens": 6.5e10, "sparsity": 0.0}, 1.753583),
            Check("t5", {"params": 8.5e7, "tokens": 6.5e10, "sparsity": 0.75}, 1.632347),
        ),
        {"params": 8.5e7, "tokens": 6.5e11},
    ),
    variants={"vision": VISION},
)
