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

    def weights(self, shares: np.ndarray) -> np.ndarray:
        """Return the weights of outcomes that are sorted upward along the first axis, from their shares; both sum to 1 along it."""
        if self.kind == "mean":
            return shares
        below = np.cumsum(shares, axis=0) - shares
        if self.kind == "cvar":  # the worst share, of which the draw at its edge may be a part
            return np.maximum(0.0, below + shares - np.maximum(below, self.level)) / (1 - self.level)
        # Between the two nearest ranks; with equal shares as numpy.quantile.
        middles = below + shares / 2
        places = (middles - middles[:1]) / np.maximum(middles[-1:] - middles[:1], 1e-300)
        lower = np.maximum((places <= self.level).sum(axis=0, keepdims=True) - 1, 0)
        upper = np.minimum(lower + 1, len(shares) - 1)
        near, far = (np.take_along_axis(places, index, axis=0) for index in (lower, upper))
        part = np.where(far > near, (self.level - near) / np.where(far > near, far - near, 1.0), 0.0)
        weights = np.zeros(shares.shape)
        np.put_along_axis(weights, upper, part, axis=0)
        np.put_along_axis(weights, lower, np.take_along_axis(weights, lower, axis=0) + 1 - part, axis=0)
        return weights

    def of_alike(self, draws: int) -> np.ndarray | None:
        """Return the weights of so many sorted outcomes that count alike; None for the mean, which needs no sorting."""
        return None if self.kind == "mean" else self.weights(np.full(draws, 1 / draws))

    def of(self, outcomes: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
        """Return the risk of outcomes of shape (draw, ...).

        Parameters
        ----------
        shares : of the draws, shape (draw,); equal unless told
        """
        if shares is None:
            weights = self.of_alike(len(outcomes))
            return outcomes.mean(axis=0) if weights is None else np.tensordot(weights, np.sort(outcomes, axis=0), axes=1)
        if self.kind == "mean":
            return np.tensordot(shares, outcomes, axes=1)
        order = np.argsort(outcomes, axis=0)
        return np.sum(self.weights(shares[order]) * np.take_along_axis(outcomes, order, axis=0), axis=0)
