"""Inputs over the domain that a law is declared for: what tests and the table of all laws simulate runs at."""

import numpy as np

from bayes_scaling.law import Law


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
