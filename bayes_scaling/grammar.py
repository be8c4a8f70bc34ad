"""Expressions that users write, parsed by Python's grammar and never evaluated: who reads one walks its tree."""

from __future__ import annotations

import ast
import warnings


def parsed(text: str) -> ast.expr:
    """Return the tree of an expression.

    Raises
    ------
    ValueError
        If it is none, or nests deeper than Python reads.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what looks odd in Python; the reader's own refusals are all that is said
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("no expression") from None
