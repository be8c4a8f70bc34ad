"""Build the API reference from the docstrings, to out/docs: ``python benchmarks/reference.py``, with ``pip install -e '.[docs]'``."""

from __future__ import annotations

import argparse
from pathlib import Path
from textwrap import indent

import pdoc
import pdoc.docstrings
import pdoc.render

#: Modules that a reader is sent to, besides what the package itself offers.
MODULES = ("bayes_scaling",)


def parameters(content: str) -> str:
    """Convert a section of parameters into Markdown.

    What follows a parameter's name here is what it means; pdoc takes it for a type, and ends the name at the last colon of the line.
    """
    lines = []
    for item in pdoc.docstrings._indented_list(content):
        name, colon, meaning = item.partition(" : ")
        if not colon:
            name, _, meaning = item.partition("\n")
        meaning = "\n".join(line.strip() for line in meaning.splitlines())
        lines.append(f" - **{name.strip()}**{':' if meaning.strip() else ''} {indent(meaning, '   ').strip()}")
    return "\n".join(lines) + "\n\n"


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description="build the API reference")
    parser.add_argument("--out", type=Path, default=Path("out/docs"), metavar="DIR")
    options = parser.parse_args()
    pdoc.docstrings._numpy_parameters = parameters
    pdoc.render.configure(docformat="numpy", math=True)
    pdoc.pdoc(*MODULES, output_directory=options.out)
    print(f"{options.out / 'bayes_scaling.html'} written")


if __name__ == "__main__":
    main()
