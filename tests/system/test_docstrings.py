"""The examples in the docstrings of what the package exports, run as they stand, with one fit for all of them."""

import doctest
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest

import bayes_scaling as bs


def examples():
    """Return every example of the exported functions, of the methods of exported classes, and of the figures."""
    exported = [getattr(bs, name) for name in bs.__all__]
    objects = [item for item in exported if not inspect.ismodule(item)]
    figures = ("bayes_scaling.plot", "bayes_scaling.plan_plot")
    objects += [item for item in vars(bs.plot).values() if inspect.isfunction(item) and item.__module__ in figures]
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {test.name: test for item in objects if callable(item) for test in finder.find(item, item.__qualname__) if test.examples}
    return [found[name] for name in sorted(found)]


def test_the_main_functions_have_examples():
    assert {"fit", "read_runs", "allocate", "predict", "compare", "extrapolate", "plan", "Cost", "Limits"} <= {
        one.name for one in examples()
    }


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_examples_of_docstrings_run(example, small_fit, tmp_path):
    example.globs = {"bs": bs, "np": np, "fit": small_fit, "runs": small_fit.runs, "folder": tmp_path}
    told = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(example, out=told.append)
    plt.close("all")
    assert not told, "".join(told)
