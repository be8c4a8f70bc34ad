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
    instead : column names that are taken to mean it where none of the others is there; what they hold is not worth refusing a table for
    low, high : bounds of its values, in base units
    low_allowed, high_allowed : whether the bounds themselves are values
    whole : whether only whole numbers are values: counts of outcomes, which binomial noise takes one by one
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
    whole: bool = False
    core: bool = False
    instead: tuple[str, ...] = ()
    scale: float = 1.0
    scatter: float = 0.01

    @property
    def on_log_scale(self) -> bool:
        """Whether values are always positive, so that their logarithm is where laws are smooth and distances mean something."""
        return self.low > 0 or (self.low == 0 and not self.low_allowed)

    @property
    def in_decades(self) -> bool:
        """Whether values that are positive differ by factors, and may do so without end; one that is zero is none at all."""
        return self.on_log_scale or (self.low == 0 and self.high == math.inf)

    @property
    def is_fraction(self) -> bool:
        return self.low == 0 and self.high == 1

    @property
    def difference(self) -> tuple[float, str]:
        """By what a difference of coordinates (see `coordinate`) is multiplied to be shown, and the unit that it then has."""
        return (100.0, "%") if self.on_log_scale else (100.0, "percentage points") if self.is_fraction else (1.0, "")

    def admits(self, values: Any) -> Any:
        """Whether values are possible and finite, element by element."""
        import numpy as np

        above = values >= self.low if self.low_allowed else values > self.low
        below = values <= self.high if self.high_allowed else values < self.high
        whole = values == np.round(values) if self.whole else True
        return np.isfinite(values) & above & below & whole

    def possible_text(self) -> str:
        """Say what values are possible, in the usual words where they are all that is positive."""
        return "positive and finite" if self.high == math.inf and self.on_log_scale else self.range_text()

    def range_text(self) -> str:
        """Say what values are possible, to follow 'must be'."""
        if self.high < math.inf:
            return f"between {self.low:g} ({'in' if self.low_allowed else 'ex'}cluded) and {self.high:g}"
        if self.low == -math.inf:
            return "finite"
        if self.low == 0:
            return f"finite and {'positive' if self.on_log_scale else 'not negative'}"
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
    Quantity(
        "loss",
        ("loss", "val_loss", "valid_loss", "validation_loss", "eval_loss", "test_loss", "final_loss", "l"),
        core=True,
        instead=("train_loss", "training_loss"),
    ),
    Quantity("loss_se", ("loss_se", "loss_stderr", "loss_standard_error"), low_allowed=True, core=True),
    Quantity("unique_tokens", ("unique_tokens",), low=1, low_allowed=True),
    Quantity(
        "steps",
        ("steps", "n_steps", "num_steps", "training_steps", "train_steps", "step", "_step", "global_step"),
        low=1,
        low_allowed=True,
        scatter=0.1,
    ),
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
    Quantity("gpu_hours", ("gpu_hours",)),
    Quantity("x", ("x",)),
    Quantity("error", ("error", "error_rate"), high=1, low_allowed=True, high_allowed=True, scale=0.3, scatter=0.03),
    Quantity("accuracy", ("accuracy", "acc"), high=1, low_allowed=True, high_allowed=True, scale=0.3, scatter=0.03),
    Quantity(
        "trials",
        ("trials", "n_trials", "n_items", "n_samples", "num_samples", "n_problems", "n_questions", "total"),
        low=1,
        low_allowed=True,
        whole=True,
    ),
    Quantity("successes", ("successes", "n_successes", "n_success", "n_correct", "num_correct", "correct"), low_allowed=True, whole=True),
    Quantity("bleu", ("bleu",), high=100, high_allowed=True, scale=30.0, scatter=0.03),
    Quantity("task_loss", ("task_loss", "bits_per_byte", "bpb"), scatter=0.01),  # of the correct answers of a benchmark
    # Repeated sampling and test-time compute
    Quantity("coverage", ("coverage", "pass_at_k", "mean_pass_at_k"), high=1, low_allowed=True, high_allowed=True, scale=0.3, scatter=0.03),
    Quantity("samples", ("samples", "k", "k_samples", "attempts"), low=1, low_allowed=True),
    Quantity("test_compute", ("test_compute", "inference_compute", "inference_flops", "test_flops")),
    Quantity("test_tokens", ("test_tokens", "thinking_tokens", "inference_tokens")),
    Quantity("elo", ("elo",), low=-math.inf, scale=1000.0),
    Quantity("opponent_elo", ("opponent_elo",), low=-math.inf, scale=1000.0),
    Quantity("win_rate", ("win_rate", "score"), high=1, low_allowed=True, high_allowed=True, scale=0.5, scatter=0.03),
    Quantity("board", ("board", "board_size"), low=1, low_allowed=True),
    # Transfer and fine-tuning
    Quantity("finetune_characters", ("finetune_characters",), low=1, low_allowed=True),
    Quantity("transferred_characters", ("transferred_characters",), low=1, low_allowed=True, scatter=0.1),
    Quantity("finetune_examples", ("finetune_examples", "sft_examples"), low_allowed=True),
    # Precision
    *(Quantity(name, (name, *more)) for name, *more in (("bits",), ("weight_bits", "w_bits"), ("activation_bits", "a_bits"))),
    *(Quantity(name, (name, *more)) for name, *more in (("kv_bits", "kv_cache_bits"), ("post_bits", "ptq_bits"))),
    Quantity("loss_increase", ("loss_increase", "delta_loss"), low=-math.inf, scale=0.3),
    # Streams, vocabulary
    Quantity("streams", ("streams", "parallel_streams"), low=1, low_allowed=True),
    Quantity("vocabulary", ("vocabulary", "vocab_size"), low=1, low_allowed=True, scatter=0.1),
    Quantity("embed_dim", ("embed_dim", "d_model"), low=1, low_allowed=True),
    Quantity("non_vocab_params", ("non_vocab_params", "params_non_vocab"), low=1, low_allowed=True),
    Quantity("characters", ("characters", "num_characters", "n_characters"), low=1, low_allowed=True),
    Quantity("unigram_loss", ("unigram_loss", "unigram_normalised_loss", "unigram_normalized_loss"), low=-math.inf, scale=3.0),
    # Capability over time
    Quantity("day", ("day", "days"), low=-math.inf),
    Quantity("reference", ("reference",), high=1, low_allowed=True, high_allowed=True),
    Quantity("answer_tokens", ("answer_tokens",), low=1, low_allowed=True),
)

#: Every quantity that the package knows, by name. A user's law may take others: they are positive numbers, found by their own name.
QUANTITIES: Mapping[str, Quantity] = {item.name: item for item in _ALL}


def quantity(name: str) -> Quantity:
    """Return a quantity by name; one that is not known is any positive number in a column of its own name."""
    return QUANTITIES.get(name) or Quantity(name, (name.lower(),))


def coordinate(name: str, values: Any) -> Any:
    """Return values where laws are smooth and distances mean something: their logarithm, or themselves if they may be zero or negative."""
    import numpy as np

    values = np.asarray(values, float)
    return np.log(values) if quantity(name).on_log_scale else values
