"""What a plan costs in compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError


def affordable_tokens(params: Any, compute: Any, training: Any, serving: Any) -> Any:
    """Return the training tokens that compute leaves a model: ``(compute / params - serving) / training``.

    ``serving`` is FLOP a param over the model's life. Works on traced values, where a Cost cannot be built.
    """
    return (compute / params - serving) / training


@dataclass(frozen=True)
class Cost:
    """Compute of training a model and, if asked, of serving it.

    ``compute = training * params * tokens + inference * params * inference_tokens``

    Parameters
    ----------
    training : FLOP a param and training token; 6 is 2 forward and 4 backward (Kaplan et al. 2020, arXiv 2001.08361), without attention
    inference : FLOP a param and served token, 2 for the forward pass
    inference_tokens : tokens served over the model's life (Sardana et al. 2023, arXiv 2401.00448); 0 counts training alone
    """

    training: float = 6.0
    inference: float = 2.0
    inference_tokens: float = 0.0

    def __post_init__(self) -> None:
        if not (self.training > 0 and np.isfinite(self.training)):
            raise InputError(f"training = {self.training} FLOP a param and token must be positive")
        if not (self.inference >= 0 and np.isfinite(self.inference)):
            raise InputError(f"inference = {self.inference} FLOP a param and token must not be negative")
        if not (self.inference_tokens >= 0 and np.isfinite(self.inference_tokens)):
            raise InputError(f"inference_tokens = {self.inference_tokens} must not be negative")

    @property
    def serving(self) -> float:
        """FLOP a param over the model's life."""
        return self.inference * self.inference_tokens

    @property
    def training_only(self) -> bool:
        return self.serving == 0

    def compute(self, params: Any, tokens: Any) -> Any:
        """Return the FLOP of a plan; arrays broadcast."""
        return self.training * params * tokens + self.serving * params

    def tokens(self, params: Any, compute: Any) -> Any:
        """Return the training tokens that a model of this size can have within compute; not positive where serving alone exceeds it."""
        return affordable_tokens(params, compute, self.training, self.serving)

    def params(self, tokens: Any, compute: Any) -> Any:
        """Return the size that uses up compute with these training tokens."""
        return compute / (self.training * tokens + self.serving)

    def largest_params(self, compute: Any, tokens: float = 1.0) -> Any:
        """Return the size at which compute leaves only so many training tokens."""
        return self.params(tokens, compute)

    def text(self) -> str:
        serving = "" if self.training_only else f" + {self.inference:g} x params x {self.inference_tokens:.3g} served tokens"
        return f"{self.training:g} x params x tokens{serving}"
