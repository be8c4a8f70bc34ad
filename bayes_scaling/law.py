"""What a law is: a formula with named, unit-bearing inputs, parameters with priors, and the values that others published.

A law is data. It knows nothing of runs, noise or samplers, so the same object serves fitting, prediction, allocation and comparison.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bayes_scaling.cache import remember_law
from bayes_scaling.errors import LawError, brief, nearest

Values = Mapping[str, Any]  #: arrays or numbers by name


@dataclass(frozen=True, eq=False)
class Input:
    """A quantity that a law takes, is asked about or answers with.

    It has a name (``params``, ``tokens``, ``compute`` …), a unit, and says what exactly is counted; ``low`` and ``high`` bound the domain
    that the law is declared for, in base units.

    ``default`` is its value where runs have no such column (16 bits, say). With ``asked_only`` it has that value in all runs, and only
    questions vary it: attempts allowed, where each measured attempt is one.
    """

    name: str
    unit: str
    meaning: str
    low: float = 1.0
    high: float = 1e30
    default: float | None = None
    asked_only: bool = False


@dataclass(frozen=True, eq=False)
class Parameter:
    """A fitted quantity: its name, prior (a numpyro distribution with a declared scale) and meaning with unit.

    A ``latent`` one is a deviate of a process: its prior is part of the model, and runs need not determine it. A ``departure`` says how far
    the curve may depart from the law's form, as noise says of the runs: where they do not depart, runs tell only that it is small.
    """

    name: str
    prior: Any
    meaning: str
    latent: bool = False
    departure: bool = False


@dataclass(frozen=True, eq=False)
class Published:
    """A parameter set that somebody published: values in the law's formula names, source, and standard errors where given."""

    values: Mapping[str, float]
    source: str
    standard_errors: Mapping[str, float] = field(default_factory=dict[str, float])
    note: str = ""


@dataclass(frozen=True, eq=False)
class Check:
    """A value that the formula must give: for a published set (or explicit ``values``) at given inputs, to a relative tolerance."""

    published: str
    inputs: Mapping[str, float]
    value: float
    tolerance: float = 1e-6
    values: Mapping[str, float] | None = None


@dataclass(frozen=True, eq=False)
class Term:
    """A term ``coefficient * (input / reference)^-exponent``, of parameters that are sampled.

    The prior states the coefficient at a declared reference; runs may lie decades away, where coefficient and exponent are bent around
    each other. Told of the term, the sampler moves along it in the middle of the runs. The posterior is the same.
    """

    coefficient: str
    exponent: str
    input: str
    reference: float
    published: str = ""  #: name of the coefficient at input = 1, as papers give it: ``coefficient * reference^exponent``


@dataclass(frozen=True, eq=False)
class Decision:
    """The question that a law exists to answer, and how a posterior answers it.

    Parameters
    ----------
    question : one line
    given : what must be told
    answers : what comes back
    answer : ``answer(parameters, given) -> {name: array}`` in jax.numpy; element by element over parameters (draws) and given values
    example : a value for everything given
    optional : values of what need not be told
    """

    question: str
    given: tuple[Input, ...]
    answers: tuple[Input, ...]
    answer: Callable[[Values, Values], dict[str, Any]]
    example: Mapping[str, float]
    optional: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, eq=False)
class Sharing:
    """A budget that two inputs of a law share, where it is not the compute of params and tokens (which `allocate` knows by itself).

    All functions are of jax.numpy, element by element, and take values by name: the law's inputs, the budget and what is ``given``.

    Parameters
    ----------
    budget : what is shared out
    inputs : the two that share it, by name: the one that a plan chooses, and the one that gets what is left
    text : what they take of the budget, in words
    spends : ``spends(values) -> amount`` that they take of the budget; it must be linear in the second input
    span : ``span(values) -> (low, high)``, the range that the first is chosen from
    ratio : what tells plans apart at a glance: the first input's share, the second per unit of the first
    ratio_of : ``ratio_of(values) -> ratio``
    given : what must be told besides the budget and the law's other inputs (prices)
    optional : values of what need not be told
    highest : whether the law's output should be high
    best : ``best(parameters, values) -> first`` input of the best plan, where more is known than that it is the best of the span
    """

    budget: Input
    inputs: tuple[str, str]
    text: str
    spends: Callable[[Values], Any]
    span: Callable[[Values], tuple[Any, Any]]
    ratio: Input
    ratio_of: Callable[[Values], Any]
    given: tuple[Input, ...] = ()
    optional: Mapping[str, float] = field(default_factory=dict[str, float])
    highest: bool = False
    best: Callable[[Values, Values], Any] | None = None


@dataclass(frozen=True, eq=False)
class Caution:
    """Where others have seen a law fail: ``applies(inputs)``, element by element, and what they saw, with its source."""

    applies: Callable[[Values], Any]
    text: str


@dataclass(frozen=True, eq=False)
class Law:
    """A scaling law.

    Parameters
    ----------
    name : identifier, as used on the command line
    title, equation, citation, use, avoid : text for people
    inputs : what the formula takes
    parameters : what is sampled, with priors. A coefficient is sampled as the size of its term at a reference scale that the law
        declares; the coefficient as published is then ``derived``.
    formula : ``formula(inputs, parameters) -> prediction`` in jax.numpy, in base units; it broadcasts. ``parameters`` holds the
        sampled and the derived ones.
    derived : from sampled parameters to the further names that the paper uses (``A`` from ``A_ref`` and ``alpha``); by default what
        ``terms`` say
    invert : from a published set to the sampled parameters; the inverse of ``derived``; by default what ``terms`` say
    published : parameter sets by name; several may disagree, and all are kept
    checks : values that the formula must reproduce
    terms : power-law terms of sampled coefficients, for the sampler's coordinates
    sums : parameters that add up to the output at the reference of their terms (a floor and what stands on it), likewise
    decreasing_in : inputs along which the prediction can only fall
    drawn_against : the input that figures have on their axis; the first by default
    optimum : ``optimum(parameters, product) -> (params, tokens)`` that minimises the prediction at a given product params x tokens,
        where a closed form is known
    token_params : ``token_params(inputs) -> params`` that a token passes through, counted as at 16 bits: what 6 FLOP of training each are
        spent on; by default ``params``
    cautions : where published experience says that the law bends
    output : the column that the formula predicts
    noise : name of the default noise family, or a family of the law's own
    model : a numpyro model of the law's own, where priors + formula + noise are not enough: ``model(law, noise, settings)`` returns it
    alternatives : the same law as a function of another input, by the input's name
    variants : related laws of the same source, by the name that follows the law's own and a colon (``gordon:bleu``)
    decision : the question that the law exists to answer
    sharing : the budget that its inputs share, where it is not the compute of params and tokens
    """

    name: str
    title: str
    equation: str
    citation: str
    use: str
    avoid: str
    inputs: tuple[Input, ...]
    parameters: tuple[Parameter, ...]
    formula: Callable[[Values, Values], Any]
    derived: Callable[[Values], dict[str, Any]] | None = None
    invert: Callable[[Values], dict[str, Any]] | None = None
    published: Mapping[str, Published] = field(default_factory=dict[str, Published])
    checks: tuple[Check, ...] = ()
    terms: tuple[Term, ...] = ()
    sums: tuple[tuple[str, ...], ...] = ()
    decreasing_in: tuple[str, ...] = ()
    drawn_against: str = ""
    optimum: Callable[[Values, Any], tuple[Any, Any]] | None = None
    token_params: Callable[[Values], Any] | None = None
    cautions: tuple[Caution, ...] = ()
    output: str = "loss"
    noise: Any = "student-t"  #: or a bayes_scaling.noise.Noise, which is defined by laws' types and so not named here
    model: Callable[..., Any] | None = None
    alternatives: Mapping[str, Law] = field(default_factory=dict[str, "Law"])
    variants: Mapping[str, Law] = field(default_factory=dict[str, "Law"])
    decision: Decision | None = None
    sharing: Sharing | None = None
    origin: str = ""  #: file that the law was loaded from, for a user's law
    origin_hash: str = ""

    @property
    def shares(self) -> str:
        """Name of the budget that a plan splits: compute, unless the law says that its inputs share another."""
        return "compute" if self.sharing is None else self.sharing.budget.name

    def cautions_at(self, plan: Mapping[str, float]) -> list[str]:
        """Return what others have seen go wrong with the law where a plan lies."""
        return [caution.text for caution in self.cautions if bool(caution.applies(plan))]

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.inputs)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.parameters)

    @property
    def latent_names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.parameters if item.latent)

    def drawn_input(self, name: str | None = None) -> Input:
        """Return the input that a figure has on its axis: the one that is asked for, or the law's own choice."""
        wanted = name or self.drawn_against or self.input_names[0]
        for item in self.inputs:
            if item.name == wanted:
                return item
        raise LawError(f"law '{self.name}' has no input '{wanted}'{nearest(wanted, self.input_names)}")

    def parameter(self, name: str) -> Parameter:
        for item in self.parameters:
            if item.name == name:
                return item
        raise LawError(f"law '{self.name}' has no sampled parameter '{name}'{nearest(name, self.parameter_names)}")

    def derive(self, sampled: Values) -> dict[str, Any]:
        """Return the derived parameters."""
        if self.derived is not None:
            return self.derived(sampled)
        return {term.published: sampled[term.coefficient] * term.reference ** sampled[term.exponent] for term in self._published_terms}

    def complete(self, sampled: Values) -> dict[str, Any]:
        """Return sampled parameters together with the derived ones."""
        return {**sampled, **self.derive(sampled)}

    def sampled(self, published: Values) -> dict[str, Any]:
        """Return the sampled parameters of a set given in the paper's names."""
        if self.invert is not None:
            return self.invert(published)
        coefficients = {t.coefficient: published[t.published] * t.reference ** -published[t.exponent] for t in self._published_terms}
        return {name: coefficients[name] if name in coefficients else published[name] for name in self.parameter_names}

    @property
    def _published_terms(self) -> tuple[Term, ...]:
        return tuple(term for term in self.terms if term.published)

    def predict(self, inputs: Values, parameters: Values) -> Any:
        """Evaluate the formula in 64 bits.

        Parameters
        ----------
        inputs : arrays by input name, in base units
        parameters : arrays by the formula's parameter names (a published set, or draws); shapes must broadcast with the inputs

        Returns
        -------
        numpy array of the broadcast shape, in the unit of the law's output
        """
        import jax
        import numpy as np

        with jax.enable_x64(True):
            inputs = {name: np.asarray(inputs[name], dtype=float) for name in self.input_names}
            parameters = {name: np.asarray(value, dtype=float) for name, value in parameters.items()}
            return np.asarray(self.formula(inputs, parameters))

    def with_input(self, name: str) -> Law:
        """Return this law as a function of another input (for laws of any one input)."""
        if name in self.input_names and (self.alternatives or len(self.inputs) == 1):
            return self
        if name not in self.alternatives:
            known = [*self.input_names, *self.alternatives]
            if len(self.inputs) > 1:
                raise LawError(f"law '{self.name}' is a function of {' and '.join(known)} together: an input is chosen for laws of any one")
            raise LawError(f"law '{self.name}' cannot be a function of '{name}'{nearest(name, known)}")
        return self.alternatives[name]


def law_names() -> list[str]:
    """Return the names of the laws that come with the package: one for each file in ``models/``.

    Examples
    --------
    >>> "chinchilla" in bs.law_names()
    True
    """
    package = importlib.import_module("bayes_scaling.models")
    return sorted(item.name for item in pkgutil.iter_modules(package.__path__))


def get_law(law: str | Path | Law) -> Law:
    """Return a law by name, from a Python file that defines ``LAW`` (which is run), or as given.

    Raises
    ------
    LawError
        If there is no such law, the file does not define one, or it is no name at all.

    Examples
    --------
    >>> bs.get_law("chinchilla").equation
    'L(N, D) = E + A / N^alpha + B / D^beta'
    """
    if isinstance(law, Law):
        return law
    try:
        text = os.fspath(law)
    except TypeError:
        what = f"an object of type {type(law).__name__}"
        raise LawError(
            f"a law is a name, the path of a .py file or a Law, not {what}; the law comes first: bs.fit('chinchilla', runs)"
        ) from None
    return _law_from_file(Path(text)) if text.endswith(".py") else packaged_law(text)


def packaged_law(text: str) -> Law:
    """Return a law that comes with the package by its name; no file is run, whatever the name.

    Raises
    ------
    LawError
        If there is no such law.
    """
    name, _, variant = text.partition(":")
    if name not in law_names():
        raise LawError(f"unknown law '{brief(text)}'{nearest(name, law_names())} (a law of your own: give the path of its .py file)")
    found = importlib.import_module(f"bayes_scaling.models.{name}").LAW
    if not variant:
        return found
    if variant not in found.variants:
        hint = nearest(variant, found.variants) if found.variants else ": it has none"
        raise LawError(f"law '{name}' has no variant '{variant}'{hint}")
    return found.variants[variant]


def _law_from_file(path: Path) -> Law:
    if not os.path.isfile(path):
        raise LawError(f"no law file at '{brief(path)}'; give the path of a Python file that defines LAW")
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    spec = importlib.util.spec_from_file_location(f"user_law_{digest[:12]}", path)
    assert spec is not None  # a .py file always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's file raises becomes one line that names the file
        raise LawError(f"law file '{path}' failed to load: {type(error).__name__}: {error}") from error
    found = getattr(module, "LAW", None)
    if not isinstance(found, Law):
        raise LawError(f"law file '{path}' does not define LAW = Law(...)")
    remember_law(digest)  # stored fits with it may find it again
    origin = {"origin": str(path.resolve()), "origin_hash": digest}
    return replace(found, **origin, alternatives={name: replace(other, **origin) for name, other in found.alternatives.items()})
