"""What benchmarks simulate: truths about a published fit."""

import numpy as np

from bayes_scaling.law import get_law


def chinchilla_truths(n: int, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Return parameters of Chinchilla's law about the published replication, scattered about as much as published fits differ."""
    law = get_law("chinchilla")
    base = {name: float(value) for name, value in law.sampled(law.published["besiroglu"].values).items()}
    scatter = {"E": 0.1, "A_ref": 0.5, "B_ref": 0.5, "alpha": 0.25, "beta": 0.25}
    drawn = [{name: value * np.exp(scatter[name] * rng.normal()) for name, value in base.items()} for _ in range(n)]
    return [{name: np.asarray(value) for name, value in law.complete(one).items()} for one in drawn]
