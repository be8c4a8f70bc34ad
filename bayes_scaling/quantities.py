"""The quantities that laws take and predict: base units, possible values, and the column names by which a table may call them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quantity:
    """A measurable quantity.

    Attributes
    ----------
    name : as laws call it
    columns : column names that mean it, in the order of preference; compared in lower case with spaces and hyphens as underscores
    low, high : bounds of its values, in base units
    low_allowed, high_allowed : whether the bounds themselves are values
    core : read from every table, which is refused where it holds an impossible value; the others are only read where they make sense
    scale : typical size as an output, which the prior of its absolute scatter is relative to
    scatter : typical relative scatter as an output, the centre of the prior of relative scatter
    """

    name: str
    columns: tuple[str, ...]
    low: float = 0.0
    high: float = math.inf
    low_allowed: bool = False
    high_allowed: bool = False
    core: bool = False
    scale: float = 1.0
    scatter: float = 0.01

    @property
    def may_be_zero(self) -> bool:
        return self.low_allowed and self.low == 0

    def admits(self, values: Any) -> Any:
        """Whether values are possible and finite, element by element."""
        import numpy as np

        above = values >= self.low if self.low_allowed else values > self.low
        below = values <= self.high if self.high_allowed else values < self.high
        return np.isfinite(values) & above & below

    def range_text(self) -> str:
        """Say what values are possible, to follow 'must be'."""
        if self.high < math.inf:
            return f"between {self.low:g} ({'in' if self.low_allowed else 'ex'}cluded) and {self.high:g}"
        if self.low == 0:
            return f"finite and {'not negative' if self.may_be_zero else 'positive'}"
        return f"finite and at least {self.low:g}"


_ALL = (
    Quantity(
        "params",
        ("params", "n_params", "num_params", "n_parameters", "num_parameters", "parameters", "param_count", "model_size", "n"),
        low=1,
        low_allowed=True,
        core=True,
        scatter=0.1,  # as an optimum read off a curve, not as a count
    ),
    Quantity(
        "tokens",
        ("tokens", "n_tokens", "num_tokens", "train_tokens", "training_tokens", "d"),
        low=1,
        low_allowed=True,
        core=True,
        scatter=0.1,
    ),
    Quantity(
        "compute",
        ("compute", "flops", "flop", "training_flops", "train_flops", "training_flop", "training_compute", "train_compute", "c"),
        core=True,
    ),
    Quantity("loss", ("loss", "val_loss", "valid_loss", "validation_loss", "eval_loss", "test_loss", "final_loss", "l"), core=True),
    Quantity("loss_se", ("loss_se", "loss_stderr", "loss_standard_error"), low_allowed=True, core=True),
    Quantity("unique_tokens", ("unique_tokens",), low=1, low_allowed=True),
    Quantity("steps", ("steps", "n_steps", "num_steps", "training_steps", "train_steps"), low=1, low_allowed=True, scatter=0.1),
    Quantity("batch_tokens", ("batch_tokens", "batch_size_tokens"), low=1, low_allowed=True, scatter=0.1),
    Quantity("examples", ("examples", "n_examples", "train_examples", "training_examples", "sentence_pairs"), low=1, low_allowed=True),
    Quantity("unique_examples", ("unique_examples",), low=1, low_allowed=True),
    Quantity("data_bytes", ("data_bytes", "bytes"), low=1, low_allowed=True),
    Quantity("encoder_params", ("encoder_params",), low=1, low_allowed=True),
    Quantity("decoder_params", ("decoder_params",), low=1, low_allowed=True),
    Quantity("experts", ("experts", "n_experts", "num_experts"), low=1, low_allowed=True),
    Quantity("granularity", ("granularity",), low=1, low_allowed=True),
    Quantity("sparsity", ("sparsity",), high=1, low_allowed=True),
    Quantity("core_days", ("core_days",)),
    Quantity("x", ("x",)),
    Quantity("error", ("error", "error_rate"), high=1, low_allowed=True, high_allowed=True, scale=0.3, scatter=0.03),
    Quantity("trials", ("trials", "n_trials", "n_items"), low=1, low_allowed=True),
    Quantity("bleu", ("bleu",), high=100, high_allowed=True, scale=30.0, scatter=0.03),
)

#: Every quantity that the package knows, by name. A user's law may take others: they are positive numbers, found by their own name.
QUANTITIES: Mapping[str, Quantity] = {item.name: item for item in _ALL}


def quantity(name: str) -> Quantity:
    """Return a quantity by name; one that is not known is any positive number in a column of its own name."""
    return QUANTITIES.get(name) or Quantity(name, (name.lower(),))


def coordinate(name: str, values: Any) -> Any:
    """Return values where laws are smooth and distances mean something: their logarithm, or themselves for a quantity that may be zero."""
    import numpy as np

    values = np.asarray(values, float)
    return values if quantity(name).may_be_zero else np.log(values)
