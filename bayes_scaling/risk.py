"""How uncertain outcomes are weighed in a decision: by their mean, a quantile, or the mean of the worst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayes_scaling.errors import InputError, nearest

KINDS = ("mean", "quantile", "cvar")


@dataclass(frozen=True)
class Risk:
    """What of the distribution of the outcome a plan should minimise.

    Parameters
    ----------
    kind : ``mean``; ``quantile``: the outcome that is exceeded with probability 1 - level; ``cvar``: the mean of the worst 1 - level
        (Rockafellar & Uryasev 2000)
    level : between 0 and 1
    """

    kind: str = "mean"
    level: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"risk '{self.kind}' is unknown{nearest(self.kind, KINDS)} (write mean, quantile:0.9 or cvar:0.9)")
        if self.kind != "mean" and not 0 < self.level < 1:
            raise InputError(f"risk {self.kind}:{self.level:g} needs a level between 0 and 1 (write {self.kind}:0.9)")

    @classmethod
    def read(cls, text: str | Risk) -> Risk:
        """Read ``mean``, ``quantile:0.9`` or ``cvar:0.9``."""
        if isinstance(text, Risk):
            return text
        kind, _, level = text.partition(":")
        try:
            return cls(kind, float(level or 0))
        except ValueError as error:
            raise error if isinstance(error, InputError) else InputError(f"risk '{text}': '{level}' is not a number") from None

    def __str__(self) -> str:
        return self.kind if self.kind == "mean" else f"{self.kind}:{self.level:g}"

    def weights(self, draws: int) -> np.ndarray:
        """Return the weight of each of so many outcomes, sorted upward; they sum to 1."""
        if self.kind == "mean":
            return np.full(draws, 1 / draws)
        if self.kind == "quantile":  # between the two nearest ranks, as numpy.quantile
            place = self.level * (draws - 1)
            weights = np.zeros(draws)
            weights[int(place)] = 1 - place % 1
            weights[min(int(place) + 1, draws - 1)] += place % 1
            return weights
        # The worst share, of which the draw at its edge may be a part.
        edges = np.arange(draws + 1) / draws
        return np.maximum(0.0, edges[1:] - np.maximum(edges[:-1], self.level)) / (1 - self.level)

    def of(self, outcomes: np.ndarray) -> np.ndarray:
        """Return the risk of outcomes of shape (draw, ...)."""
        if self.kind == "mean":
            return outcomes.mean(axis=0)
        return np.tensordot(self.weights(len(outcomes)), np.sort(outcomes, axis=0), axes=1)
