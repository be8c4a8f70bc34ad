"""What a shell may complete: laws, data sets, noise families, published sets, columns of groups; files where files go."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, which asks through the environment, and leave; see ``bayes-scaling --help`` for how to turn it on."""
    import argcomplete

    _give(parser)
    argcomplete.autocomplete(parser)


def _give(parser: argparse.ArgumentParser) -> None:
    """Give every argument that has known values a completer."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _give(inner)
            continue
        named = action.option_strings[-1] if action.option_strings else action.dest
        found = _COMPLETERS.get(named)
        if found is not None:
            action.completer = found  # pyright: ignore[reportAttributeAccessIssue]


def _laws(prefix: str, **_: Any) -> list[str]:
    from bayes_scaling.law import get_law, law_names

    if ":" in prefix:
        name = prefix.partition(":")[0]
        return [item.name for item in get_law(name).variants.values()] if name in law_names() else []
    return [*law_names(), *_files(prefix, (".py",))]


def _noises(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    from bayes_scaling.law import get_law
    from bayes_scaling.noise import noise_names

    named = getattr(parsed_args, "law", None)
    law = str(named[0] if isinstance(named, list) and named else named or "")
    try:
        return noise_names(get_law(law).output if law else "loss")
    except ValueError:
        return noise_names()


def _published(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    from bayes_scaling.law import get_law

    try:
        law = get_law(parsed_args.fit)
    except ValueError:
        return []
    return [name for item in (law, *law.alternatives.values()) for name in item.published]


def _data(prefix: str, **_: Any) -> list[str]:
    from bayes_scaling.datasets import DATA_SETS

    return [*DATA_SETS, *_files(prefix, (".csv", ".tsv", ".parquet", ".json"))]


def _fits(prefix: str, **_: Any) -> list[str]:
    return _files(prefix, (".nc",))


def _fits_or_laws(prefix: str, **_: Any) -> list[str]:
    return [*_fits(prefix), *_laws(prefix)]


def _files(prefix: str, suffixes: tuple[str, ...]) -> list[str]:
    from argcomplete.completers import FilesCompleter

    return list(FilesCompleter([suffix.lstrip(".") for suffix in suffixes])(prefix))


_COMPLETERS: dict[str, Callable[..., Any]] = {
    "--law": _laws,
    "--try-law": _laws,
    "law": _laws,
    "--noise": _noises,
    "--published": _published,
    "--risk": lambda **_: ["mean", "quantile:0.9", "cvar:0.9"],
    "--input": lambda **_: ["params", "tokens", "compute", "examples", "x"],
    "--device": lambda **_: ["auto", "cpu", "gpu"],
    "--what": lambda **_: ["draws", "summary", "runs"],
    "data": _data,
    "fit": _fits_or_laws,
    "other": _fits,
    "--then": _fits,
    "sources": lambda prefix, **_: [*_fits(prefix), *_data(prefix)],
}
