"""Kaplan and Chinchilla reconciled: Chinchilla's law for models whose size is counted without embeddings.

    L(N, D) = E + A / N_T^alpha + B / D^beta,    N_T = N + omega N^(1/3)        (N without embeddings, N_T with)

Pearce & Song 2024 (arXiv 2406.12907), with Chinchilla's law of Hoffmann et al. 2022 (arXiv 2203.15556) or Besiroglu et al. 2024
(arXiv 2404.10102). At a fixed aspect ratio r = width / layers, N = 12 layers width^2 = 12 width^3 / r, and a table of V tokens and T
positions adds (V + T) width: omega = (V + T) (r / 12)^(1/3), twice that where input and output tables are not tied.

What it explains: minimise this loss at a compute of 6ND *without* embeddings, over models as small as Kaplan et al. 2020 trained, and
the optimum seems to grow as C^0.73 to 0.79; the total size still grows as C^(beta / (alpha + beta)). Below N = omega^1.5 (1e7 for
omega = 47 491) embeddings are most of a model. The local exponent runs from beta / (alpha / 3 + beta), N -> 0, to
beta / (alpha + beta). Their own runs: 0.74 without embeddings and 0.49 with.

The regressed exponent depends on how the points lie along the frontier: 0.788 for Besiroglu's law and 0.750 for Hoffmann's with budgets
evenly spaced in ln C, as here and in their program (which prints 0.78 and 0.74, off a grid of 20 sizes), 0.794 and 0.758 with sizes
evenly spaced. Porian et al. 2024 (arXiv 2406.19146) give other causes their share: head FLOP, warm-up, learning rate (see `frontier`).

When to use it: runs with small models counted without embeddings. When not: totals are known (use `chinchilla`, which then needs no
omega); aspect ratios or vocabularies that vary between the runs.
"""

import jax.numpy as jnp
from numpyro.distributions import LogNormal

from bayes_scaling.law import Check, Decision, Input, Law, Parameter, Published
from bayes_scaling.loss_law import BESIROGLU, HOFFMANN, PARAMS_REFERENCE, PUBLISHED, SUM, TERMS, TOKENS_REFERENCE
from bayes_scaling.loss_law import formula as loss_of_total
from bayes_scaling.numeric import minimum

KAPLAN_SMALLEST, KAPLAN_LARGEST = 768.0, 1.5e9  # sizes of Kaplan et al. 2020, without embeddings
_FRONTIER_POINTS = 65


def total_params(params, omega):
    """Return the size with embeddings of a model of ``params`` without."""
    return params + omega * params ** (1 / 3)


def without_embeddings(total, omega):
    """Return the size without embeddings: the real root of x^3 + omega x = total, cubed, in a form without cancellation."""
    x = 2 * jnp.sqrt(omega / 3) * jnp.sinh(jnp.arcsinh(1.5 * total / omega * jnp.sqrt(3 / omega)) / 3)
    return x**3


def formula(inputs, p):
    return loss_of_total({**inputs, "params": total_params(inputs["params"], p["omega"])}, p)


def log_compute_of_best(log_params, p):
    """Return ln(6ND), without embeddings, at which a model of this size without embeddings is a stationary point of the loss.

    dL/dN = 0 at constant N D: alpha A N_T^(-alpha - 1) (1 + omega / 3 N^(-2/3)) = beta B D^(-beta) / N, solved for D.
    """
    third = p["omega"] / 3 * jnp.exp(-2 / 3 * log_params)
    log_total = log_params + jnp.log1p(3 * third)
    ratio = jnp.log(p["alpha"] * p["A"] / (p["beta"] * p["B"]))
    log_tokens = -(ratio - (p["alpha"] + 1) * log_total + jnp.log1p(third) + log_params) / p["beta"]
    return jnp.log(6.0) + log_params + log_tokens


def regressed_exponent(p, smallest, largest):
    """Return the slope of ln N_opt over ln C, least squares over budgets evenly spaced in ln C between two sizes'."""
    p = {name: jnp.asarray(p[name])[..., None] for name in ("A", "B", "alpha", "beta", "omega")}
    step = jnp.linspace(0.0, 1.0, _FRONTIER_POINTS)
    low, high = jnp.log(smallest)[..., None], jnp.log(largest)[..., None]
    log_params = low + step * (high - low)
    log_compute = log_compute_of_best(log_params, p)
    # Sizes are evenly spaced, so each point stands for the compute that lies around it.
    weight = jnp.abs(jnp.asarray(jnp.gradient(log_compute, axis=-1))) * jnp.where((step == 0) | (step == 1), 0.5, 1.0)
    weight = weight / jnp.sum(weight, axis=-1, keepdims=True)
    x = log_compute - jnp.sum(weight * log_compute, axis=-1, keepdims=True)
    return jnp.sum(weight * x * log_params, axis=-1) / jnp.sum(weight * x**2, axis=-1)


def answer(p, given):
    # What is spent is counted with embeddings: 6 N_T D, where Chinchilla's closed form holds.
    product = given["compute"] / 6
    exponent = p["beta"] / (p["alpha"] + p["beta"])
    total = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / (p["alpha"] + p["beta"])) * product**exponent
    tokens = product / total
    params = without_embeddings(total, p["omega"])

    def loss(log_params):
        size = jnp.exp(log_params)
        return formula({"params": size, "tokens": product / size}, p)

    low = jnp.zeros(jnp.broadcast_shapes(jnp.shape(total), jnp.shape(product)))
    return {
        "params": params,
        "total_params": total,
        "tokens": tokens,
        "loss": formula({"params": params, "tokens": tokens}, p),
        "kaplan_params": jnp.exp(minimum(loss, low, low + 42.0)),  # up to e^42 = 1.7e18 params
        "kaplan_exponent": regressed_exponent(p, jnp.asarray(given["smallest"]), jnp.asarray(given["largest"])),
        "exponent": exponent * jnp.ones_like(total),
    }


PEARCE = "Pearce & Song 2024, arXiv 2406.12907"
OMEGA = 47491.0  # their fit to the sizes of Hoffmann et al., embeddings of 32 000 tokens


def _with_omega(name, note):
    found = PUBLISHED[name]
    return Published({**found.values, "omega": OMEGA}, f"{found.source}; omega of {PEARCE}", note=note)


LAW = Law(
    name="kaplan_chinchilla",
    title="Loss against parameters without embeddings, and tokens",
    equation="L(N, D) = E + A / (N + omega N^(1/3))^alpha + B / D^beta",
    citation=f"{PEARCE}; {HOFFMANN}; {BESIROGLU}",
    use="runs with small models, counted without embeddings, of one vocabulary and aspect ratio; what Kaplan's count does to an exponent",
    avoid="runs whose total size is known (use chinchilla); vocabularies or aspect ratios that vary between runs",
    inputs=(
        Input("params", "count", "parameters of the model without embeddings (and without an untied head)", 1e3, 1e12),
        Input("tokens", "count", "training tokens", 1e8, 1e13),
    ),
    parameters=(
        Parameter("E", LogNormal(0.4, 0.7), "irreducible loss in nat/token"),
        Parameter("A_ref", LogNormal(-1.2, 1.5), f"loss from finite size at {PARAMS_REFERENCE:.2g} params with embeddings, in nat/token"),
        Parameter("B_ref", LogNormal(-1.2, 1.5), f"loss from finite data at {TOKENS_REFERENCE:.2g} tokens, in nat/token"),
        Parameter("alpha", LogNormal(-1.2, 0.5), "exponent of params"),
        Parameter("beta", LogNormal(-1.2, 0.5), "exponent of tokens"),
        # (V + T) (r / 12)^(1/3): 32e3 to 256e3 tokens, tied or not, r from 20 to 130.
        Parameter("omega", LogNormal(11.2, 0.8), "embeddings of a model of one parameter without: omega N^(1/3) of N"),
    ),
    formula=formula,
    # Of N, where the formula's term is of N_T: coordinates of the sampler, to which any shift along the exponent is allowed.
    terms=TERMS,
    sums=(SUM,),
    decreasing_in=("params", "tokens"),
    decision=Decision(
        question="which size is best at a compute, and which exponent would Kaplan's way of counting report?",
        given=(
            Input("compute", "FLOP", "training compute: 6 x total params x tokens; for kaplan_params 6 x params x tokens"),
            Input("smallest", "count", "smallest model of the range that is regressed over, without embeddings"),
            Input("largest", "count", "largest model of that range"),
        ),
        answers=(
            Input("params", "count", "best model size without embeddings, compute counted with them"),
            Input("total_params", "count", "the same model with embeddings"),
            Input("tokens", "count", "its training tokens"),
            Input("loss", "nat/token", "its loss"),
            Input("kaplan_params", "count", "best size without embeddings where compute is counted without them too"),
            Input("kaplan_exponent", "", "slope of ln kaplan_params in ln compute over the range"),
            Input("exponent", "", "exponent of the best total size in compute with embeddings"),
        ),
        answer=answer,
        example={"compute": 1e18},
        optional={"smallest": KAPLAN_SMALLEST, "largest": KAPLAN_LARGEST},
    ),
    published={
        "hoffmann": _with_omega("hoffmann", "rounded, as printed"),
        "hoffmann_tex": _with_omega("hoffmann_tex", "they regress an exponent of 0.74"),
        "besiroglu": _with_omega("besiroglu", "they regress an exponent of 0.78"),
    },
    checks=(
        # N_T(1e9) = 1.047491e9 with embeddings.
        Check("besiroglu", {"params": 1e9, "tokens": 2e10}, 1.8172 + 482.01 * 1.047491e9**-0.3478 + 2085.43 * 2e10**-0.3658),
        Check("hoffmann", {"params": 1e9, "tokens": 2e10}, 1.69 + 406.4 * 1.047491e9**-0.34 + 410.7 * 2e10**-0.28),
        # Without embeddings to speak of it is Chinchilla's law.
        Check("besiroglu", {"params": 70e9, "tokens": 1.4e12}, 1.973882, 1e-4),
    ),
)
