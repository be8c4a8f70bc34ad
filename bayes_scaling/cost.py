"""What a plan costs: FLOP of training and serving, and what they come to in GPU-hours, dollars and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError, either_text, nearest

FULL_BITS = 16.0  # compute is counted in FLOP at this precision
#: Tables of width x vocabulary that a count of params includes: one shared by input and output, one each, none.
EMBEDDINGS = {"tied": 1.0, "untied": 2.0, "excluded": 0.0}
_HALVINGS = 80


def affordable_tokens(used: Any, compute: Any, training: Any, serving: Any) -> Any:
    """Return the training tokens that compute leaves a model: ``(compute / used - serving) / training``.

    ``used`` is the params that a token passes through, ``serving`` FLOP for each of them over the model's life. Works on traced values.
    """
    return (compute / used - serving) / training


def width(params: Any, shape: Any) -> Any:
    """Return the width d of a transformer of so many params: the root of ``12 d^3 / (aspect active) + tables vocabulary d = params``.

    12 d^2 params a layer and d / aspect layers (Kaplan et al. 2020, arXiv 2001.08361). Cardano's formula in a form that loses no digits;
    plain arithmetic, so that it works on traced values. ``shape`` are a Cost's `numbers`.
    """
    cubic = shape["aspect"] * shape["active"] / 12
    p, q = shape["tables"] * shape["vocabulary"] * cubic, params * cubic
    u = (q / 2 + (q * q / 4 + p**3 / 27) ** 0.5) ** (1 / 3)
    return q / (u * u + p / 3 + (p / (3 * u)) ** 2)


def used_params(params: Any, shape: Any) -> Any:
    """Return the params that a token passes through: half the FLOP of its forward pass, attention and output head included."""
    d = width(params, shape)
    layers = shape["active"] * (params - shape["tables"] * shape["vocabulary"] * d)
    return layers + shape["vocabulary"] * d + cached(d, shape)


def cached(d: Any, shape: Any) -> Any:
    """Return ``2 layers d context``: the numbers of a sequence's cache, and half the FLOP of a token's attention over it."""
    return 2 * shape["context"] * d * d / shape["aspect"]


@dataclass(frozen=True)
class Shape:
    """Shape of a transformer, for the FLOP that 6 x params leaves out.

    Parameters
    ----------
    context : tokens that attention looks back on: 12 x layers x width x context FLOP a training token (Kaplan et al. 2020)
    vocabulary : its output head multiplies vocabulary x width params a token
    embeddings : whether the count of params holds the tables: ``tied`` (one for input and output), ``untied`` (two; looking up the input
        costs nothing), ``excluded``
    aspect : width over layers
    """

    context: float = 0.0
    vocabulary: float = 0.0
    embeddings: str = "tied"
    aspect: float = 128.0

    def __post_init__(self) -> None:
        if self.embeddings not in EMBEDDINGS:
            raise InputError(f"embeddings = '{self.embeddings}' is unknown{nearest(self.embeddings, EMBEDDINGS)}")
        _require("context", self.context, 0)
        _require("vocabulary", self.vocabulary, 0)
        _require("aspect", self.aspect)


@dataclass(frozen=True)
class Hardware:
    """What a FLOP takes in time and dollars.

    Parameters
    ----------
    peak : FLOP/s of one GPU at the precision of training
    utilisation : share of it that training reaches
    price : of a GPU-hour, in dollars
    serving_utilisation, serving_price : of serving; as in training unless told
    """

    peak: float
    utilisation: float = 0.4
    price: float = 0.0
    serving_utilisation: float | None = None
    serving_price: float | None = None

    def __post_init__(self) -> None:
        _require("peak", self.peak)
        for name in ("utilisation", "serving_utilisation"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                raise InputError(f"{name} = {share:g} must be above 0 and at most 1 (0.4 is 40 %)")
        _require("price", self.price, 0)
        if self.serving_price is not None:
            _require("serving_price", self.serving_price, 0)
            if not self.price:
                raise InputError("a price of serving needs a price of training to compare with: give both")

    @property
    def serving_weight(self) -> float:
        """What a served FLOP costs over what one of training costs (Sardana et al. 2023, arXiv 2401.00448, equation 4)."""
        time = self.utilisation / (self.serving_utilisation or self.utilisation)
        return time * (self.serving_price / self.price if self.serving_price is not None else 1.0)

    def gpu_hours(self, compute: Any) -> Any:
        return compute / (3600 * self.peak * self.utilisation)

    def compute(self, gpu_hours: Any) -> Any:
        """Return the FLOP that so many GPU-hours make."""
        return gpu_hours * (3600 * self.peak * self.utilisation)


@dataclass(frozen=True)
class Cost:
    """Compute of training a model and, if asked, of serving it.

    ``compute = used params x (training x tokens + inference x inference_tokens)``, where the used params are ``active x params`` and, with
    a shape, what attention and the output head add. Serving is weighed by what it costs on the hardware, compute by precision. With a
    training budget, compute is of training alone, and what serving comes to is told beside it.

    Parameters
    ----------
    training : FLOP a used param and training token; 6 is 2 forward and 4 backward (Kaplan et al. 2020, arXiv 2001.08361)
    inference : FLOP a used param and served token, 2 for the forward pass
    inference_tokens : tokens served over the model's life (Sardana et al. 2023, arXiv 2401.00448); 0 counts training alone
    training_budget : whether a budget pays for training alone: serving then decides nothing, and is reported
    active : share of the params that a token passes through, in a mixture of experts
    bits, serving_bits : of the arithmetic; compute is in FLOP at 16 bits, of which one at P bits counts P / 16 (Kumar et al. 2024,
        arXiv 2411.04330). Serving bits are also those that weights and cache are held in
    shape : for attention, output head and embedding tables
    hardware : for GPU-hours, dollars, and the weight of serving

    Examples
    --------
    >>> plan = bs.allocate(fit, 1e21, cost=bs.Cost(inference_tokens=1e12))
    >>> bool(plan["decision_serving"][0] > 0)
    True
    >>> beside = bs.allocate(fit, 1e21, cost=bs.Cost(inference_tokens=1e12, training_budget=True))
    >>> bool(beside["decision_training"][0] == beside["decision_compute"][0])  # the budget is spent on training
    True
    """

    training: float = 6.0
    inference: float = 2.0
    inference_tokens: float = 0.0
    active: float = 1.0
    bits: float = FULL_BITS
    serving_bits: float = FULL_BITS
    shape: Shape | None = None
    hardware: Hardware | None = None
    training_budget: bool = False

    def __post_init__(self) -> None:
        _require("training", self.training)
        _require("inference", self.inference, 0)
        _require("inference_tokens", self.inference_tokens, 0)
        _require("bits", self.bits)
        _require("serving_bits", self.serving_bits)
        if not 0 < self.active <= 1:
            raise InputError(f"active = {self.active:g} is the share of params that a token passes through: above 0 and at most 1")
        if self.training_budget and not self.inference_tokens:
            raise InputError("a training budget leaves serving beside it, and nothing is served: give inference tokens, or leave it out")

    @property
    def train_rate(self) -> float:
        """FLOP a used param and training token, at 16 bits."""
        return self.training * self.bits / FULL_BITS

    @property
    def serving(self) -> float:
        """FLOP of serving a used param that a budget pays for: those of `served`, or none beside a training budget."""
        return 0.0 if self.training_budget else self.served

    @property
    def served(self) -> float:
        """FLOP of serving a used param over the model's life, at 16 bits and weighed by what serving costs."""
        weight = self.hardware.serving_weight if self.hardware else 1.0
        return self.inference * self.inference_tokens * self.serving_bits / FULL_BITS * weight

    @property
    def plain(self) -> bool:
        """Whether compute is a constant times params x tokens, for which laws have closed forms."""
        return self.serving == 0 and self.shape is None

    def numbers(self) -> dict[str, float]:
        """Return what a plan's compute follows from, as numbers that a compiled program can take as arguments."""
        shape = self.shape or Shape()
        shaped = {name: float(getattr(shape, name)) for name in ("context", "vocabulary", "aspect")}
        tables = EMBEDDINGS[shape.embeddings]
        return {"training": self.train_rate, "serving": self.serving, "active": self.active, "tables": tables, **shaped}

    def used(self, params: Any) -> Any:
        """Return the params that a token passes through, with what attention and head count for."""
        return self.active * params if self.shape is None else used_params(params, self.numbers())

    def compute(self, params: Any, tokens: Any) -> Any:
        """Return the FLOP of a plan that a budget pays for; arrays broadcast."""
        return self.used(params) * (self.train_rate * tokens + self.serving)

    def training_compute(self, params: Any, tokens: Any) -> Any:
        """Return the FLOP of training alone."""
        return self.used(params) * self.train_rate * tokens

    def tokens(self, params: Any, compute: Any) -> Any:
        """Return the training tokens that a model of this size can have within compute; not positive where serving alone exceeds it."""
        return affordable_tokens(self.used(params), compute, self.train_rate, self.serving)

    def params(self, tokens: Any, compute: Any) -> Any:
        """Return the size that uses up compute with these training tokens."""
        used = compute / (self.train_rate * tokens + self.serving)
        return used / self.active if self.shape is None else self._with_used(used)

    def _with_used(self, used: Any) -> Any:
        """Return the size of which a token passes through so many params: bisection, since these rise with the size."""
        low, high = np.log(np.asarray(used) * 1e-12), np.log(np.asarray(used) / self.active * 1e6)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            short = self.used(np.exp(middle)) < used
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return np.exp((low + high) / 2)

    def largest_params(self, compute: Any, tokens: float = 1.0) -> Any:
        """Return the size at which compute leaves only so many training tokens."""
        return self.params(tokens, compute)

    def memory(self, params: Any, sequences: float = 0.0) -> Any:
        """Return the bytes that weights take in serving, with the caches of so many sequences of the shape's context."""
        numbers = self.numbers()
        return (params + sequences * cached(width(params, numbers), numbers)) * self.serving_bits / 8

    def gpu_hours(self, compute: Any) -> Any:
        return self.required_hardware("GPU-hours").gpu_hours(compute)

    def dollars(self, compute: Any) -> Any:
        """Return the price of compute."""
        hardware = self.required_hardware("dollars")
        if not hardware.price:
            raise InputError(f"to count dollars, give the price of a GPU-hour ({either_text('--gpu-price 2', 'price=2 of Hardware')})")
        return hardware.gpu_hours(compute) * hardware.price

    def affordable_compute(self, dollars: Any) -> Any:
        """Return the FLOP that dollars buy: the inverse of `dollars`."""
        return dollars / self.dollars(1.0)

    def required_hardware(self, what: str) -> Hardware:
        """Return the hardware; without it, `InputError` says what cannot be counted."""
        if self.hardware is None:
            price = (" --gpu-price 2", ", price=2") if what == "dollars" else ("", "")
            how = either_text(
                f"--gpu-flops 989e12 --utilisation 0.4{price[0]}", f"Cost(hardware=Hardware(peak=989e12, utilisation=0.4{price[1]}))"
            )
            raise InputError(f"to count {what}, say what a GPU does: its peak FLOP/s and the share of it that training reaches ({how})")
        return self.hardware

    def parts(self, params: float, tokens: float) -> dict[str, float]:
        """Return what a plan's compute is made of, in FLOP: ``training``, of which ``attention`` and ``head``, and ``serving``."""
        numbers = self.numbers()
        d = width(params, numbers)
        rate = self.train_rate * tokens
        return {
            "training": float(self.used(params) * rate),
            "attention": float(cached(d, numbers) * rate),
            "head": float(numbers["vocabulary"] * d * rate),
            "serving": float(self.used(params) * self.served),
        }

    def text(self) -> str:
        used = "params" if self.active == 1 else f"{self.active:g} x params"
        if self.shape is not None:
            added = [f"attention over {self.shape.context:g}"] if self.shape.context else []
            added += [f"head of {self.shape.vocabulary:g}, embeddings {self.shape.embeddings}"] if self.shape.vocabulary else []
            used = f"({used} + {' + '.join(added)})" if added else used
        text = f"{self.train_rate:g} x {used} x tokens"
        if self.served:
            rate = self.served / self.inference_tokens
            joined = "; beside it, serving =" if self.training_budget else " +"
            text += f"{joined} {rate:.4g} x {'params' if used == 'params' else 'the same'} x {self.inference_tokens:.3g} served tokens"
        return text


def _require(name: str, value: float, least: float | None = None) -> None:
    """Raise InputError unless a number is finite and positive, or at least ``least``."""
    if least is None and not (np.isfinite(value) and value > 0):
        raise InputError(f"{name} = {value:g} must be positive and finite")
    if least is not None and not (np.isfinite(value) and value >= least):
        raise InputError(f"{name} = {value:g} must not be negative" if least == 0 else f"{name} = {value:g} must be at least {least:g}")
