"""What laws of one variable share: the inputs that a curve may be drawn against, and a law made once for each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bayes_scaling.law import Decision, Input, Law, Values


@dataclass(frozen=True)
class Axis:
    """An input of a curve, and the scale at which priors of coefficients are stated: where published ladders begin."""

    input: Input
    reference: float

    @property
    def name(self) -> str:
        return self.input.name

    @property
    def text(self) -> str:
        """The reference for people: ``1.8e+07 params``."""
        return f"{self.name} = {self.reference:.2g}"


AXES = (
    Axis(Input("params", "count", "parameters of the model", 1e6, 1e12), 1.8e7),
    Axis(Input("tokens", "count", "training tokens", 1e8, 1e13), 7e8),
    Axis(Input("compute", "FLOP", "training compute", 1e16, 1e25), 1e18),
    Axis(Input("examples", "count", "training examples (images, sentence pairs, samples)", 1e3, 1e10), 1e5),
    Axis(Input("x", "count", "whatever was scaled: steps, width, data (name its column x, or --map x=COLUMN)", 1e1, 1e7), 1e3),
)


#: Outputs that a curve may have, and their units.
UNIT = {"loss": "nat/token", "error": "fraction"}


def amount(name: str) -> str:
    """Return ``many params``, ``much compute``: how an input is asked for."""
    return f"{'much' if name in ('compute', 'x') else 'many'} {name}"


def needed_for_target(axis: Axis, output: str, answer: Callable[[Values, Values], dict[str, Any]]) -> Decision:
    """Return the question of a curve: how much of its input a target needs; ``answer`` is told ``target``."""
    return Decision(
        question=f"how {amount(axis.name)} does a target {output} need?",
        given=(Input("target", UNIT[output], f"{output} to reach"),),
        answers=(axis.input,),
        answer=answer,
        example={"target": 2.2 if output == "loss" else 0.1},
    )


def of_loss_and_error(make: Callable[[Axis, str], Law]) -> Law:
    """Return the law of losses over all axes, with that of error rates as its variant."""
    loss, error = (over_axes(lambda axis, output=output: make(axis, output)) for output in UNIT)
    return replace(loss, variants={"error": error})


def over_axes(make: Callable[[Axis], Law]) -> Law:
    """Return the law that ``make`` gives for the first axis, with those for the others as its alternatives."""
    first, *others = (make(axis) for axis in AXES)
    return replace(first, alternatives={law.input_names[0]: law for law in others})
