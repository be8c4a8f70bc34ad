"""The command ``bayes-scaling``: argument parsing and printing, no logic.

Exit codes: 0 done; 2 bad usage or bad input (one line says why); 3 finished, but the posterior is not trustworthy.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from bayes_scaling import __version__
from bayes_scaling.cli.answers import add_allocate, add_decide, add_plot, add_predict
from bayes_scaling.cli.batch import add_batch
from bayes_scaling.cli.bench import add_bench
from bayes_scaling.cli.check import add_calibrate, add_check, add_export, add_sheet
from bayes_scaling.cli.common import BAD_INPUT, Parser
from bayes_scaling.cli.compare import add_compare, add_forward
from bayes_scaling.cli.completion import complete
from bayes_scaling.cli.decisions import add_plan, add_recipes, add_robustness
from bayes_scaling.cli.extrapolate import add_extrapolate
from bayes_scaling.cli.fit import add_fit
from bayes_scaling.cli.known import add_data, add_laws
from bayes_scaling.cli.progress import shown
from bayes_scaling.cli.report import add_report
from bayes_scaling.errors import BayesScalingError, command_line, one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        complete(parser)
    options = parser.parse_args(arguments)
    try:
        # A job file gives options by the names that Python has.
        with command_line(options.command != "batch"), shown(options.command):
            code = options.run(options)
            sys.stdout.flush()
        return code
    except BayesScalingError as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        print("bayes-scaling: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _leave_stdout()  # the reader of a pipe (head, less) has gone; nothing is wrong with us
        return 141
    except MemoryError:
        return _failed("out of memory: ask for fewer draws, chains or runs, or close other programs")
    except OSError as error:  # standard output on a full disk, say
        _leave_stdout()
        return _failed(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):  # as XLA says it
            return _failed("out of memory on the device: ask for fewer draws, chains or runs, or use --device cpu")
        import jax

        if not isinstance(error, jax.errors.JaxRuntimeError):
            raise
        return _failed(f"the device failed ({str(error).splitlines()[0]}): try again, or use --device cpu")


def _failed(why: str) -> int:
    print(f"bayes-scaling: error: {one_line(why)}", file=sys.stderr)
    return BAD_INPUT


def _leave_stdout() -> None:
    """Keep the interpreter from flushing at exit what cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="bayes-scaling",
        description="Bayesian fits of neural scaling laws, and what they say about how to spend compute.",
        epilog="examples:\n  bayes-scaling fit ladder --law chinchilla --out fit.nc\n  bayes-scaling allocate fit.nc --compute 1e15\n"
        "  bayes-scaling report fit.nc --compute 1e15 --out report.html\n\n"
        'completion by the shell (bash, zsh): eval "$(register-python-argcomplete bayes-scaling)"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bayes-scaling {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_laws(commands)
    add_fit(commands)
    add_extrapolate(commands)
    add_predict(commands)
    add_decide(commands)
    add_allocate(commands)
    add_plan(commands)
    add_robustness(commands)
    add_recipes(commands)
    add_check(commands)
    add_sheet(commands)
    add_export(commands)
    add_calibrate(commands)
    add_compare(commands)
    add_forward(commands)
    add_plot(commands)
    add_report(commands)
    add_batch(commands)
    add_bench(commands)
    add_data(commands)
    return parser
