"""What benchmarks simulate: truths about a published fit."""

from typing import Any

import numpy as np
from numpyro.distributions import LogNormal

from bayes_scaling.law import get_law

#: Standard deviation of the logarithm of each parameter: about as much as published fits differ.
SCATTER = {"E": 0.1, "A_ref": 0.5, "B_ref": 0.5, "alpha": 0.25, "beta": 0.25}


def _published() -> dict[str, float]:
    law = get_law("chinchilla")
    return {name: float(value) for name, value in law.sampled(law.published["besiroglu"].values).items()}


def chinchilla_truths(n: int, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Return parameters of Chinchilla's law about the published replication, scattered about as much as published fits differ."""
    base = _published()
    drawn = [{name: value * np.exp(SCATTER[name] * rng.normal()) for name, value in base.items()} for _ in range(n)]
    return [{name: np.asarray(value) for name, value in get_law("chinchilla").complete(one).items()} for one in drawn]


def chinchilla_priors() -> dict[str, Any]:
    """Return the distributions that truths are drawn from."""
    return {name: LogNormal(np.log(value), SCATTER[name]) for name, value in _published().items()}
