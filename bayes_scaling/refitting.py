"""The same fit on other runs: what was asked for is read back from the fit, so that fits loaded from files can be made again too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.fitting import fit as fit_once
from bayes_scaling.fitting import fit_many
from bayes_scaling.noise import Noise
from bayes_scaling.priors import parse_prior, prior_text
from bayes_scaling.runs import Runs


def chosen_priors(fit: Fit) -> dict[str, Any]:
    """Return the priors that a fit has in place of the law's and the noise family's own.

    Raises
    ------
    InputError
        If a prior was given as an object that text cannot say.
    """
    own = {item.name: prior_text(item.prior) for item in (*fit.law.parameters, *fit.noise.parameters)}
    changed = {name: text for name, text in fit.attributes["priors"].items() if own.get(name) != text}
    try:
        return dict(parse_prior(f"{name}={text}") for name, text in changed.items())
    except InputError as error:
        raise InputError(f"the fit of {fit.law.name} cannot be made again from what it stores: {error}") from None


def asked(fit: Fit) -> dict[str, Any]:
    """Return the arguments of `bayes_scaling.fit`, besides law and runs, that a fit was made with."""
    attributes, sizes = fit.attributes, fit.posterior.sizes
    return {
        "noise": fit.noise,
        "input": attributes["input"],
        "fix": dict(fit.fixed),
        "priors": chosen_priors(fit),
        "grouped": bool(fit.groups),
        "pool": attributes["pool"],
        "chains": sizes["chain"],
        "draws": sizes["draw"],
        "warmup": attributes.get("warmup_asked"),
        "seed": attributes["seed"],
        "precision": attributes["precision"],
        "method": attributes.get("method_asked", "nuts"),
        "starts": attributes.get("starts", "modes"),
    }


def refits(fit: Fit, data: Sequence[Runs], *, noise: str | Noise | None = None, **changes: Any) -> Iterator[tuple[int, Fit | InputError]]:
    """Make a fit again on each of several data sets; yield (place in ``data``, fit or why it could not be made) as they are done.

    Parameters
    ----------
    noise : another noise family; parameters of the old one lose their priors, fixed values and pooling
    changes : other arguments of `bayes_scaling.fit` to change
    """
    options = {**asked(fit), **changes}
    if noise is not None:
        options.update(of_noise(fit, noise, options))
    if options["grouped"]:  # fits by group have no program for many at once
        for place, runs in enumerate(data):
            try:
                yield place, fit_once(fit.law, runs, **options)
            except InputError as error:
                yield place, error
        return
    del options["grouped"], options["pool"]
    yield from fit_many(fit.law, data, errors="return", **options)


def of_noise(fit: Fit, noise: str | Noise, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of another noise family: priors, fixed values and pooling of the scatter belong to the old one."""
    old = set(fit.noise.parameter_names)
    named = [kind for kind in ("fix", "priors", "pool") if kind in options]
    kept = {kind: {name: value for name, value in options[kind].items() if name not in old} for kind in named}
    return {"noise": noise, **kept}
