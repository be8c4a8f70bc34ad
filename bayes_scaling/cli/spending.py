"""Options that say what compute is spent on: costs, limits, and values of a law's further inputs."""

from __future__ import annotations

import argparse
from typing import Any

from bayes_scaling.cli.common import number, pairs
from bayes_scaling.errors import InputError

_COST = (
    ("inference-tokens", "TOKENS", "tokens served over the model's life, paid from the same budget (but see --training-budget)"),
    ("training-flop", "FLOP", "FLOP a param and training token (6)"),
    ("inference-flop", "FLOP", "FLOP a param and served token (2)"),
    ("active-share", "SHARE", "share of the params that a token passes through, in a mixture of experts"),
    ("bits", "BITS", "of the arithmetic of training; compute is in FLOP at 16 bits"),
    ("serving-bits", "BITS", "of weights, cache and arithmetic in serving (16)"),
)
_SHAPE = (
    ("context", "TOKENS", "count the FLOP of attention over so many tokens"),
    ("vocabulary", "TOKENS", "count the output head, and the tables in the params"),
    ("aspect", "RATIO", "width over layers, for attention and head (128)"),
)
_HARDWARE = (
    ("gpu-flops", "FLOP/S", "peak of one GPU, for GPU-hours and dollars"),
    ("utilisation", "SHARE", "of the peak that training reaches (0.4)"),
    ("gpu-price", "DOLLARS", "of a GPU-hour"),
    ("serving-utilisation", "SHARE", "of the peak that serving reaches"),
    ("serving-price", "DOLLARS", "of a GPU-hour of serving"),
)
_LIMITS = (
    ("min-params", "N", "smallest size of the decision"),
    ("max-params", "N", "largest size of the decision"),
    ("min-tokens", "D", "fewest training tokens"),
    ("max-tokens", "D", "most training tokens"),
    ("min-tokens-per-param", "RATIO", "least ratio of tokens to params"),
    ("max-tokens-per-param", "RATIO", "largest ratio of tokens to params"),
    ("memory", "BYTES", "that serving may take"),
    ("sequences", "N", "whose caches that memory holds as well (with --context)"),
    ("gpu-hours", "HOURS", "deadline: GPU-hours that training may take (with --gpu-flops); alone, the budget"),
)

_QUANTITIES = {"TOKENS": "tokens", "N": "params", "D": "tokens", "BYTES": "data_bytes", "FLOP/S": "compute"}  # by metavar: whose units
_EXAMPLES = {"FLOP": "6", "FLOP/S": "989e12", "SHARE": "0.4", "DOLLARS": "2", "BITS": "8", "RATIO": "20", "BYTES": "80GB", "HOURS": "4e5"}


def add_spending(parser: argparse.ArgumentParser) -> None:
    """Add options of cost, limits and given values."""
    cost = parser.add_argument_group("cost")
    for name, metavar, help in (*_COST, *_SHAPE, *_HARDWARE):
        cost.add_argument(f"--{name}", metavar=metavar, help=help)
    cost.add_argument("--training-budget", action="store_true", help="the budget pays for training alone; serving is reported beside it")
    cost.add_argument("--embeddings", metavar="KIND", help="tables in the count of params: tied (default), untied, excluded")
    limits = parser.add_argument_group("limits")
    for name, metavar, help in _LIMITS:
        limits.add_argument(f"--{name}", metavar=metavar, help=help)
    limits.add_argument("--sizes", metavar="N,N,...", help="the sizes that can be built")
    limits.add_argument("--unique-tokens", metavar="TOKENS", help="limit of unique data; needs a law that knows repetition")
    for name, what in (("at-least", "least"), ("at-most", "largest")):
        limits.add_argument(
            f"--{name}", action="append", default=[], metavar="NAME=VALUE", help=f"{what} value of what shares a budget under the law"
        )
    parser.add_argument(
        "--given", action="append", default=[], metavar="NAME=VALUE[/VALUE...]",
        help="value of a further input of the law, or of one that shares the budget; several, joined by slashes, to choose among",
    )  # fmt: skip


def _numbers(options: argparse.Namespace, known: Any) -> dict[str, float]:
    named = ((name, metavar, getattr(options, name.replace("-", "_"))) for name, metavar, _ in known)
    return {
        name: number(text, f"--{name}", _QUANTITIES.get(metavar, ""), _EXAMPLES.get(metavar, ""))
        for name, metavar, text in named
        if text is not None
    }


def read_cost(options: argparse.Namespace) -> Any:
    """Return the Cost that the options describe."""
    from bayes_scaling.cost import Cost, Hardware, Shape

    called = {"training-flop": "training", "inference-flop": "inference", "active-share": "active"}
    plain = {called.get(name, name.replace("-", "_")): value for name, value in _numbers(options, _COST).items()}
    shape = _numbers(options, _SHAPE)
    hardware = _numbers(options, _HARDWARE)
    if hardware and "gpu-flops" not in hardware:
        raise InputError(f"--{next(iter(hardware))} needs --gpu-flops, the peak FLOP/s of a GPU (--gpu-flops 989e12)")
    if not ({"context", "vocabulary"} & set(shape)) and (shape or options.embeddings):
        raise InputError(f"--{next(iter(shape), 'embeddings')} needs --context or --vocabulary")
    if options.training_budget and not plain.get("inference_tokens"):
        raise InputError("--training-budget leaves serving beside it, and nothing is served: give --inference-tokens, or leave it out")
    called = {"gpu-flops": "peak", "gpu-price": "price"}
    return Cost(
        **plain,
        training_budget=options.training_budget,
        shape=Shape(**shape, **({"embeddings": options.embeddings} if options.embeddings else {})) if shape else None,
        hardware=Hardware(**{called.get(name, name.replace("-", "_")): value for name, value in hardware.items()}) if hardware else None,
    )


def read_limits(options: argparse.Namespace) -> Any:
    """Return the Limits that the options describe, or the Bounds."""
    from bayes_scaling.limits import Bounds, Limits

    at_least, at_most = (
        {name: number(text, f"{option} {name}", name) for name, text in pairs(values, option).items()}
        for option, values in (("--at-least", options.at_least), ("--at-most", options.at_most))
    )
    named = {name.replace("-", "_"): value for name, value in _numbers(options, _LIMITS).items()}
    sizes = tuple(number(text, "--sizes", "params") for text in options.sizes.split(",")) if options.sizes else ()
    limits, bounds = Limits(**named, sizes=sizes), Bounds(at_least, at_most)
    if limits.any and bounds.any:
        raise InputError(f"{limits.text()} is of params and tokens, {bounds.text()} of what another law shares out: give one of the two")
    return bounds if bounds.any else limits


def read_given(options: argparse.Namespace) -> dict[str, Any]:
    """Return values of further inputs: one each, or several to choose among."""
    given: dict[str, Any] = {}
    for name, text in pairs(options.given, "--given").items():
        given[name] = [number(part, f"--given {name}", name) for part in text.split("/")]
    if options.unique_tokens is not None:
        given["unique_tokens"] = number(options.unique_tokens, "--unique-tokens", "tokens")
    return given


def read_budgets(options: argparse.Namespace, law: Any, cost: Any = None) -> list[float]:
    """Return the budgets (``--compute``, ``--dollars``, ``--budget``), in the unit of what is shared under the law.

    A deadline in GPU-hours alone is a budget as well: of all that they compute.
    """
    computes, dollars, amounts = (
        [given] if isinstance(given, str) else given or [] for given in (options.compute, getattr(options, "dollars", None), options.budget)
    )
    hours = None if computes or dollars or amounts else getattr(options, "gpu_hours", None)
    if law.sharing is not None and law.sharing.budget.unit != "FLOP" and (computes or dollars or hours):
        about = law.sharing.budget
        raise InputError(f"law '{law.name}' shares out no compute but {about.name} ({about.meaning}): give it with --budget")
    budgets = [number(value, "--compute", "compute") for value in computes]
    budgets += [float(cost.affordable_compute(number(value, "--dollars", "params"))) for value in dollars]
    budgets += [float(cost.required_hardware("a budget in GPU-hours").compute(number(hours, "--gpu-hours")))] if hours else []
    return budgets + [number(value, "--budget", law.shares) for value in amounts]
