"""The loss law L(N, D) = E + A / N^alpha + B / D^beta, which several laws are made of: formula, references, published sets.

Hoffmann et al. 2022 (arXiv 2203.15556), approach 3, equation 2; re-fitted by Besiroglu et al. 2024 (arXiv 2404.10102) and others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from bayes_scaling.law import Caution, Published, Term

# The scale at which the coefficients' priors are stated: near the low end of the published runs, where the posterior of (term,
# exponent) is nearly uncorrelated. Declared, never computed from the data: a prior must not depend on the data.
PARAMS_REFERENCE = 1.8e7
TOKENS_REFERENCE = 7e8
TERMS = (Term("A_ref", "alpha", "params", PARAMS_REFERENCE, "A"), Term("B_ref", "beta", "tokens", TOKENS_REFERENCE, "B"))
SUM = ("E", "A_ref", "B_ref")

HOFFMANN = "Hoffmann et al. 2022, arXiv 2203.15556"
BESIROGLU = "Besiroglu et al. 2024, arXiv 2404.10102"
SARDANA = "Sardana et al. 2023, arXiv 2401.00448"


def formula(inputs: Any, p: Any) -> Any:
    """Return the loss in nat/token at ``params`` and ``tokens``."""
    return of_logs(jnp.log(inputs["params"]), jnp.log(inputs["tokens"]), p)


def of_logs(log_params: Any, log_tokens: Any, p: Any) -> Any:
    """Return the loss in nat/token at the natural logarithms of params and tokens."""
    # Three positive terms: the sum loses no digits, and needs two exponentials where a log-sum-exp needs three.
    return p["E"] + jnp.exp(jnp.log(p["A"]) - p["alpha"] * log_params) + jnp.exp(jnp.log(p["B"]) - p["beta"] * log_tokens)


def balance(A: Any, B: Any, alpha: Any, beta: Any) -> Any:
    """Return G of Hoffmann et al. 2022, equation 4: the best size at N D = P is G P^(beta / (alpha + beta))."""
    return (alpha * A / (beta * B)) ** (1 / (alpha + beta))


def published_set(
    E: float, A: float, B: float, alpha: float, beta: float, source: str, note: str = "", errors: Sequence[float] = ()
) -> Published:
    """Return a parameter set; standard errors in the order of the parameters."""
    values = {"E": E, "A": A, "B": B, "alpha": alpha, "beta": beta}
    return Published(values, source, dict(zip(values, errors, strict=False)), note)


CAUTIONS = (
    Caution(
        lambda inputs: inputs["tokens"] > 100 * inputs["params"],
        f"beyond 100 tokens per param refits of this law move: exponents from 0.08 to 0.24 as longer runs are let in ({SARDANA})",
    ),
    Caution(
        lambda inputs: inputs["params"] < 1e7,
        "below 1e7 params embeddings bend the curve, and its exponent is another (Pearce & Song 2024, arXiv 2406.12907)",
    ),
)

PUBLISHED = {
    "hoffmann": published_set(1.69, 406.4, 410.7, 0.34, 0.28, f"{HOFFMANN}, equation 10", "rounded, as printed"),
    "hoffmann_tex": published_set(
        1.6933737, 406.40102, 410.72283, 0.33917084, 0.2849083, f"TeX source of {HOFFMANN}, read by {BESIROGLU}", "unrounded"
    ),
    "besiroglu": published_set(
        1.8172, 482.01, 2085.43, 0.3478, 0.3658, f"{BESIROGLU}, table 1", "240 runs", (0.03, 124.58, 1293.23, 0.02, 0.02)
    ),
    "besiroglu_outliers": published_set(
        1.89, 463.3, 12530.0, 0.345, 0.452, f"{BESIROGLU}, appendix", "all 245 runs", (0.044, 145.0, 61650.0, 0.018, 0.054)
    ),
    "muennighoff_c4": published_set(
        1.8691437, 520.82495, 1487.7161, 0.3526596, 0.3526596, "Muennighoff et al. 2023, arXiv 2305.16264", "C4; alpha = beta tied"
    ),
    "sardana_all": published_set(1.45, 33.66, 138.9, 0.18, 0.24, SARDANA, "47 runs up to 1e4 tokens a param"),
    "sardana_100": published_set(0.17, 7.199, 25.97, 0.08, 0.13, SARDANA, "runs up to 100 tokens a param"),
    "sardana_250": published_set(0.98, 14.23, 39.54, 0.13, 0.16, SARDANA, "runs up to 250 tokens a param"),
    "sardana_500": published_set(0.95, 17.07, 35.80, 0.13, 0.16, SARDANA, "runs up to 500 tokens a param"),
}
