"""What tests and benchmarks simulate: inputs over the domain that a law is declared for, and truths about a published fit."""

import numpy as np

from bayes_scaling.law import Law, get_law


def inputs_within(law: Law, shape: int | tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    """Return inputs of a shape, drawn log-uniformly over the declared domain (uniformly where it reaches zero or below)."""
    rng = np.random.default_rng(seed)
    found = {}
    for item in law.inputs:
        if item.asked_only:
            found[item.name] = np.full(shape, item.default)
            continue
        u = rng.uniform(size=shape)
        found[item.name] = item.low + u * (item.high - item.low) if item.low <= 0 else item.low * (item.high / item.low) ** u
    return found


def chinchilla_truths(n: int, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Return parameters of Chinchilla's law about the published replication, scattered about as much as published fits differ."""
    law = get_law("chinchilla")
    base = {name: float(value) for name, value in law.sampled(law.published["besiroglu"].values).items()}
    scatter = {"E": 0.1, "A_ref": 0.5, "B_ref": 0.5, "alpha": 0.25, "beta": 0.25}
    drawn = [{name: value * np.exp(scatter[name] * rng.normal()) for name, value in base.items()} for _ in range(n)]
    return [{name: np.asarray(value) for name, value in law.complete(one).items()} for one in drawn]
