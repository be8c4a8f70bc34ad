"""Training in low precision: loss against parameters, tokens, and the bits that weights, activations and KV cache are trained in.

    L(N, D, P) = A / N_eff^alpha + B / D^beta + E,   N_eff = N prod_x (1 - exp(-P_x / gamma_x)),   x of weights, activations, KV cache

Kumar et al. 2024, "Scaling Laws for Precision" (arXiv 2411.04330): precision acts as a loss of parameters. Variants:

* `precision:offsets`: 1 - exp(-(P_x / gamma_x + n_x)), which is what appendix K says was fitted (table 2 lists the n_x); the main text
  drops the offsets. With them a part of zero bits is still worth something.
* `precision:joint`: all three parts in the same precision with one gamma, N_eff = N (1 - exp(-P / gamma))^3, as in section 4.3.
* `precision:multipliers`: N_eff = N eff(P) with a free eff at 1, 2, 3, 4 and 8 bits and eff(16) = 1 (QuEST, Panferov et al. 2025,
  arXiv 2502.05003). Between the levels ln eff is linear in ln P. On the released runs that foretells a level from its neighbours to 8 %
  (2 bits from 1 and 3) to 18 % (8 bits from 4 and 16); eff linear in P misses 2 bits by half. Nothing makes eff rise with P:
  the authors' own fit has 8 bits above 16 (1.0162), within its error.

When to use it: runs trained with quantisation in the forward pass, at several precisions, of one quantiser: constants do not transfer.
When not: quantisation after training (`post_training_quantization`).

What is not quantised counts as 16 bits, as in the paper's runs: its factor is then near 1 (0.9975 for the weights of table 2) and not 1
itself. Hold the gamma of a part that the runs do not vary (`--fix gamma_kv=0.9578`): they say nothing about it.

The best precision at a compute of C = (6/16) N D P. With P fixed, only the product N_eff D = (16 C / 6) f(P) / P counts, so the best P
maximises f(P) / P whatever A, B, E, alpha, beta and C are; the best N_eff then is Chinchilla's at that product.
For one gamma, f = (1 - exp(-P/gamma))^3 and P* = 1.903814 gamma, the root of 3 x e^-x = 1 - e^-x. At a given memory
N P the same P is best; where weights alone are quantised, that is what the answer means, as their arithmetic costs what 16 bits cost.

What to know about the paper (checked by brute force, see the tests):

* Equation 7 as printed has 3 alpha where 3 belongs, and in equation 6 the exponents of P are wrong. Right are
  N* ~ f^(-3 alpha/(alpha+beta)) P^(-beta/(alpha+beta)) and D* ~ f^(3 alpha/(alpha+beta)) P^(-alpha/(alpha+beta)), f for one part.
* The "7 to 8 bits" do not follow from table 2: its three gammas give 3.47 bits, their mean (1.9482) 3.71. That takes gamma near 4.
* With offsets f(0) > 0, so f(P)/P is greatest as P goes to 0: the question then needs the fewest bits that the hardware has (`min_bits`).
* The constants of table 2 belong to the form with offsets; without, they overstate what low precision costs (by 0.008 to 0.018 nat at 8
  and 4 bits).
"""

from dataclasses import replace
from math import exp

import jax.numpy as jnp
from numpyro.distributions import Gamma, HalfNormal, LogNormal

from bayes_scaling import numeric
from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.loss_law import PARAMS_REFERENCE, SUM, TERMS, TOKENS_REFERENCE, of_logs

KUMAR = "Kumar et al. 2024, arXiv 2411.04330"
QUEST = "Panferov et al. 2025, arXiv 2502.05003"
FULL = 16.0  #: bits of what is not quantised; compute is counted in FLOP at this precision
PARTS = {"w": "weight_bits", "a": "activation_bits", "kv": "kv_bits"}
LEVELS = (1, 2, 3, 4, 8, 16)
#: Root of 3 x e^-x = 1 - e^-x, where (1 - e^-x)^3 / x is greatest.
BEST_OF_THREE = 1.9038136944403834


def part(bits, gamma, offset=0.0):
    """ln(1 - exp(-(P / gamma + n)))."""
    return jnp.log(-jnp.expm1(-(bits / gamma + offset)))


def arithmetic(inputs):
    """Bits of the arithmetic: a product is of the precision of its finer factor, a weight or an activation."""
    return inputs["bits"] if "bits" in inputs else jnp.maximum(inputs["weight_bits"], inputs["activation_bits"])


def _law(name, what, inputs, parameters, share, same, best_bits, **more):
    """Return the law in which bits leave exp(share(inputs, p)) of the parameters.

    ``same`` makes the inputs of one precision for all parts; ``best_bits(p, lowest)`` is where f(P) / P is greatest from ``lowest`` on.
    """

    def formula(inputs, p):
        return of_logs(jnp.log(inputs["params"]) + share(inputs, p), jnp.log(inputs["tokens"]), p)

    def answer(p, given):
        def optimum(bits):
            log_share = share(same(bits), p)
            log_product = jnp.log(given["compute"] * FULL / 6) - jnp.log(bits)
            total = p["alpha"] + p["beta"]
            log_balance = jnp.log(p["alpha"]) + jnp.log(p["A"]) - jnp.log(p["beta"]) - jnp.log(p["B"])
            log_params = (log_balance + p["beta"] * (log_product + log_share)) / total - log_share
            log_tokens = log_product - log_params
            return log_params, log_tokens, of_logs(log_params + log_share, log_tokens, p), log_share - jnp.log(bits)

        bits = best_bits(p, given["min_bits"] + 0 * (p["E"] + given["compute"]))
        log_params, log_tokens, loss, log_yield = optimum(bits)
        *_, loss_full, log_yield_full = optimum(jnp.full_like(bits, FULL))
        return {
            "bits": bits,
            "params": jnp.exp(log_params),
            "tokens": jnp.exp(log_tokens),
            "tokens_per_param": jnp.exp(log_tokens - log_params),
            "loss": loss,
            "loss_16": loss_full,
            "compute_gain": jnp.exp(log_yield - log_yield_full),
        }

    return Law(
        name=name,
        title=f"Loss against parameters, tokens and the bits of {what}",
        inputs=(
            Input("params", "count", "parameters of the model, embeddings not included", 1e7, 1e12),
            Input("tokens", "count", "training tokens", 1e8, 1e13),
            *inputs,
        ),
        parameters=(
            # May be nothing: within the sizes of one study a floor and a slow power law look alike, and published fits end at zero.
            Parameter("E", Gamma(0.8, 0.4), "irreducible loss in nat/token"),
            Parameter("A_ref", LogNormal(-0.5, 1.5), f"loss from finite size at {PARAMS_REFERENCE:.2g} effective params, in nat/token"),
            Parameter("B_ref", LogNormal(-1.0, 1.5), f"loss from finite data at {TOKENS_REFERENCE:.2g} tokens, in nat/token"),
            Parameter("alpha", LogNormal(-1.6, 0.7), "exponent of effective params"),
            Parameter("beta", LogNormal(-1.4, 0.6), "exponent of tokens"),
            *parameters,
        ),
        formula=formula,
        token_params=lambda given: given["params"] * arithmetic(given) / FULL,
        terms=TERMS,
        sums=(SUM,),
        decision=Decision(
            question="how many bits, parameters and tokens are best at a training compute of (6/16) N D P?",
            given=(
                Input("compute", "FLOP", "training compute in FLOP at 16 bits; one at P bits counts P/16"),
                Input("min_bits", "bit", "fewest bits to consider, for example of the hardware"),
            ),
            answers=(
                Input("bits", "bit", "best precision, of all parts alike (min_bits where fewer were still better)"),
                Input("params", "count", "best model size"),
                Input("tokens", "count", "best training tokens"),
                Input("tokens_per_param", "", "their ratio"),
                Input("loss", "nat/token", "loss of that model"),
                Input("loss_16", "nat/token", "least loss at 16 bits with the same compute"),
                Input("compute_gain", "", "compute that 16 bits need for the loss of the best precision, over the compute given"),
            ),
            answer=answer,
            example={"compute": 1e21},
            optional={"min_bits": 1.0},
        ),
        **more,
    )


def _bits(name, what):
    return Input(name, "bit", f"bits of the {what} in training (16: not quantised)", 1, FULL, default=FULL)


THREE = (_bits("weight_bits", "weights"), _bits("activation_bits", "activations"), _bits("kv_bits", "KV cache"))
GAMMAS = tuple(
    Parameter(f"gamma_{x}", LogNormal(0.7, 0.7), f"bits over which precision of the {what} saturates")
    for x, what in (("w", "weights"), ("a", "activations"), ("kv", "KV cache"))
)
OFFSETS = tuple(
    Parameter(f"n_{x}", HalfNormal(1.5), f"offset of the {what}: what zero bits are worth")
    for x, what in (("w", "weights"), ("a", "activations"), ("kv", "KV cache"))
)


def _of_parts(inputs, p):
    return sum(part(inputs[bits], p[f"gamma_{x}"], p.get(f"n_{x}", 0.0)) for x, bits in PARTS.items())


def _all_parts(bits):
    return dict.fromkeys(PARTS.values(), bits)


def _of_one(inputs, p):
    return 3 * part(inputs["bits"], p["gamma"])


def _gain(bits, p):
    """d ln f / d ln P: falls from 3 (without offsets) to 0; f(P) / P is greatest where it passes 1."""
    ratios = [(bits / p[f"gamma_{x}"], p.get(f"n_{x}", 0.0)) for x in PARTS]
    return sum((u / jnp.expm1(u + n) for u, n in ratios), jnp.zeros(()))


def _least_and_most(p):
    gammas = [p[f"gamma_{x}"] for x in PARTS]
    least, most = gammas[0], gammas[0]
    for gamma in gammas[1:]:
        least, most = jnp.minimum(least, gamma), jnp.maximum(most, gamma)
    return least, most


def _best_of_parts(p, lowest):
    # At 1.9038 of the smallest gamma every part gains at least 1/3, at that of the largest at most: the root lies between.
    least, most = _least_and_most(p)
    root = numeric.crossing(lambda bits: _gain(bits, p), 1.0, 0.999 * BEST_OF_THREE * least, 1.001 * BEST_OF_THREE * most)
    return jnp.maximum(root, lowest)


def _best_with_offsets(p, lowest):
    # Falling from infinity at P = 0, then perhaps one hump, whose top lies below that without offsets: compare it with the lowest bits.
    _, most = _least_and_most(p)
    high = jnp.maximum(1.001 * BEST_OF_THREE * most, lowest)
    return jnp.exp(numeric.minimum(lambda log_bits: log_bits - _of_parts(_all_parts(jnp.exp(log_bits)), p), jnp.log(lowest), jnp.log(high)))


BASE = {"E": 2.7648, "A": 4.299e3, "B": 1.806e4, "alpha": 0.4965, "beta": 0.4965}
KUMAR_GAMMAS = {"gamma_w": 2.6745, "gamma_a": 2.2102, "gamma_kv": 0.9578}
KUMAR_OFFSETS = {"n_w": 0.3037, "n_a": 1.4072, "n_kv": 2.4185}
MEAN_GAMMA = sum(KUMAR_GAMMAS.values()) / 3
TABLE = f"{KUMAR}, table 2"
RUNS = "465 runs of 3e7 to 2.2e8 params, 1.5e9 to 2.6e10 tokens, 3 to 16 bits; alpha = beta tied"


def _at(bits_w, bits_a, bits_kv):
    return {"params": 1.1e8, "tokens": 1e10, "weight_bits": bits_w, "activation_bits": bits_a, "kv_bits": bits_kv}


#: So many bits that a part has no factor at all.
NO_FACTOR = 1e6

SHARED = {
    "citation": KUMAR,
    "avoid": "quantisation after training; one precision only; constants of another quantiser",
}
FALLING = ("params", "tokens", *PARTS.values())

OFFSET_LAW = _law(
    "precision:offsets",
    "weights, activations and KV cache, which are worth something even at none",
    THREE,
    (*GAMMAS, *OFFSETS),
    _of_parts,
    _all_parts,
    _best_with_offsets,
    equation="L(N, D, P) = A / N_eff^alpha + B / D^beta + E, N_eff = N prod_x (1 - exp(-(P_x / gamma_x + n_x))), x = w, a, kv",
    use="models trained at several precisions, each part varied down to few bits, that lose less there than without offsets",
    decreasing_in=FALLING,
    published={"kumar": Published({**BASE, **KUMAR_GAMMAS, **KUMAR_OFFSETS}, f"{TABLE}, with the offsets of appendix K", note=RUNS)},
    checks=(
        Check("kumar", _at(8.0, 8.0, 8.0), 3.407637),
        Check("kumar", _at(4.0, NO_FACTOR, NO_FACTOR), 3.438973),
    ),
    **SHARED,
)

JOINT_LAW = _law(
    "precision:joint",
    "all parts alike",
    (replace(_bits("bits", "weights, activations and KV cache alike"), default=None),),
    (Parameter("gamma", LogNormal(0.7, 0.7), "bits over which precision saturates"),),
    _of_one,
    lambda bits: {"bits": bits},
    lambda p, lowest: jnp.maximum(BEST_OF_THREE * p["gamma"], lowest),
    equation="L(N, D, P) = A / (N (1 - exp(-P / gamma))^3)^alpha + B / D^beta + E",
    use="models of which weights, activations and KV cache are trained in one precision, varied over the runs",
    decreasing_in=("params", "tokens", "bits"),
    published={
        "kumar_mean_gamma": Published(
            {**BASE, "gamma": MEAN_GAMMA}, f"from {TABLE}", note="gamma: the mean of the three published ones; the paper prints none"
        )
    },
    checks=(
        # By hand: (1 - e^-x)^(-3 * 0.4965) of the size's loss at 16 bits.
        Check(
            "kumar_mean_gamma",
            {"params": 1.1e8, "tokens": 1e10, "bits": 8.0},
            2.7648 + 4299 * (1.1e8 * (1 - exp(-8 / MEAN_GAMMA)) ** 3) ** -0.4965 + 18060 * 1e10**-0.4965,
        ),
        Check(
            "kumar_mean_gamma", {"params": 1.1e8, "tokens": 1e10, "bits": NO_FACTOR}, 2.7648 + 4299 * 1.1e8**-0.4965 + 18060 * 1e10**-0.4965
        ),
    ),
    **SHARED,
)


def _multiplied(inputs, p):
    """ln eff(P), linear in ln P between the levels: a sum over levels of ln eff times a hat function."""
    position, knots = jnp.log(inputs["bits"]), jnp.log(jnp.array(LEVELS, float))
    hats = jnp.eye(len(LEVELS))
    return sum(jnp.interp(position, knots, hats[i]) * jnp.log(p[f"eff_{level}"]) for i, level in enumerate(LEVELS[:-1]))


def _best_level(p, lowest):
    # eff(P) / P is a power of P between levels, so it is greatest at one. Levels below the lowest do not count; 16 always does.
    best, most = jnp.full_like(lowest, FULL), -jnp.log(FULL) + 0 * lowest
    for level in LEVELS[:-1]:
        value = jnp.where(level >= lowest, jnp.log(p[f"eff_{level}"]) - jnp.log(float(level)), -jnp.inf)
        best, most = jnp.where(value > most, float(level), best), jnp.maximum(value, most)
    return best


def _quest(eff, note=""):
    base = {"E": 0.00142, "A": 8.134, "B": 86.41, "alpha": 0.0627, "beta": 0.2413}
    values = {f"eff_{level}": value for level, value in zip(LEVELS, eff, strict=False)}
    fitted = "one fit of all methods, E at its bound"
    return Published({**base, **values}, f"{QUEST}, printed output of the authors' notebook", note=f"{fitted}; {note}" if note else fitted)


#: Log-normal prior of each multiplier (location, scale): fewer bits are worth less, and less is known of what they are worth.
MULTIPLIERS = {1: (-3.0, 1.0), 2: (-1.6, 0.8), 3: (-0.9, 0.6), 4: (-0.5, 0.5), 8: (0.0, 0.3)}

MULTIPLIER_LAW = _law(
    "precision:multipliers",
    "training",
    (Input("bits", "bit", "bits of what is quantised: weights and activations alike, or weights alone (16: not quantised)", 1, FULL),),
    tuple(
        Parameter(f"eff_{level}", LogNormal(*prior), f"what a {level}-bit parameter is worth in parameters of 16 bits")
        for level, prior in MULTIPLIERS.items()
    ),
    _multiplied,
    lambda bits: {"bits": bits},
    _best_level,
    equation="L(N, D, P) = A / (N eff(P))^alpha + B / D^beta + E, eff free at 1, 2, 3, 4, 8 bits, eff(16) = 1",
    citation=QUEST,
    use="models trained by one quantiser at 1, 2, 3, 4 or 8 bits and at 16, with no form assumed for what a bit is worth",
    avoid="quantisation after training; levels without runs, whose eff stays at its prior",
    decreasing_in=("params", "tokens"),
    published={
        "quest": _quest((0.0205, 0.1519, 0.4331, 0.6918, 1.0162), "weights and activations alike"),
        "quest_no_hadamard": _quest((0.0156, 0.0784, 0.3221, 0.6033, 0.9376), "weights and activations alike, without Hadamard transform"),
        "quest_weight_only": _quest((0.1384, 0.4137, 0.6531, 0.8404, 1.0), "weights alone; 8 bits were not run, and are set to 1 here"),
    },
    checks=(
        # By hand from the printed values, which have no published prediction; the runs themselves are in tests/reference.
        Check("quest", {"params": 1e9, "tokens": 1e10, "bits": 16.0}, 0.00142 + 8.134 * 1e9**-0.0627 + 86.41 * 1e10**-0.2413),
        Check("quest", {"params": 1e9, "tokens": 1e10, "bits": 4.0}, 0.00142 + 8.134 * 0.6918e9**-0.0627 + 86.41 * 1e10**-0.2413),
        # Halfway in ln P between two levels: the geometric mean of their multipliers.
        Check(
            "quest",
            {"params": 1e9, "tokens": 1e10, "bits": 32**0.5},
            0.00142 + 8.134 * (1e9 * (0.6918 * 1.0162) ** 0.5) ** -0.0627 + 86.41 * 1e10**-0.2413,
        ),
    ),
)

LAW = replace(
    _law(
        "precision",
        "weights, activations and KV cache",
        THREE,
        GAMMAS,
        _of_parts,
        _all_parts,
        _best_of_parts,
        equation="L(N, D, P) = A / N_eff^alpha + B / D^beta + E, N_eff = N prod_x (1 - exp(-P_x / gamma_x)), x = w, a, kv",
        use="models trained at several precisions of weights, activations or KV cache, each varied over the runs",
        decreasing_in=FALLING,
        published={
            "kumar": Published(
                {**BASE, **KUMAR_GAMMAS},
                TABLE,
                note=f"{RUNS}; fitted with the offsets of precision:offsets, which the main text drops",
            )
        },
        checks=(
            Check("kumar", _at(16.0, 16.0, 16.0), 3.398599),
            Check("kumar", _at(8.0, 8.0, 8.0), 3.415372),
            Check("kumar", _at(4.0, NO_FACTOR, NO_FACTOR), 3.456613),
            Check("kumar", _at(4.0, 16.0, 16.0), 3.456790),
        ),
        **SHARED,
    ),
    variants={"offsets": OFFSET_LAW, "joint": JOINT_LAW, "multipliers": MULTIPLIER_LAW},
)
