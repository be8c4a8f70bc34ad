"""Mutation testing: small changes to the code, and whether the tests notice.

python benchmarks/mutation.py [--mutants N] [--seed N] [--list] [GROUP ...]

A mutant is the package with one comparison, operator, number, truth value or condition inside a function changed. Of each group of modules
a sample of mutants is drawn and the tests that are about these modules are run on a copy of the checkout, until one fails. Prints each
survivor with its place and change, and a score a group: how many were noticed. A survivor is either a change that changes nothing that
matters (of speed, of the text of a message, of the size of a grid) or a test that is missing.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 600  # seconds for the tests of a mutant; one that takes longer is noticed


@dataclass(frozen=True)
class Group:
    """Modules and the tests that are about them. Where these are parametrised by law, ``by_law`` runs those of a law's own file alone."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    by_law: bool = False


GROUPS = {
    "laws": Group(
        ("models/*.py", "bayes_scaling/law.py", "bayes_scaling/loss_law.py"),
        ("tests/contract/test_laws.py", "tests/unit/test_model.py", "tests/reference", "-k", "not covers"),
        by_law=True,
    ),
    "runs": Group(
        ("bayes_scaling/runs.py", "bayes_scaling/reading.py", "bayes_scaling/table.py", "bayes_scaling/units.py"),
        ("tests/unit/test_units.py", "tests/unit/test_runs.py", "tests/unit/test_table.py", "tests/unit/test_foreign.py",
         "tests/property/test_input.py"),
    ),
    "allocate": Group(
        ("bayes_scaling/allocation.py", "bayes_scaling/sharing.py", "bayes_scaling/splitting.py", "bayes_scaling/targets.py",
         "bayes_scaling/optimum.py", "bayes_scaling/cost.py", "bayes_scaling/limits.py"),
        ("tests/unit/test_cost.py", "tests/unit/test_numeric.py", "tests/property/test_allocation.py", "tests/property/test_sharing.py",
         "tests/property/test_splitting.py", "tests/property/test_limits.py", "tests/system/test_decisions_cli.py"),
    ),
    "diagnose": Group(
        ("bayes_scaling/diagnose.py", "bayes_scaling/problems.py"),
        ("tests/unit/test_problems.py", "tests/statistical/test_diagnosis.py"),
    ),
}  # fmt: skip

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


def mutations(node: ast.AST) -> list[ast.AST]:
    """Return what may stand in the place of a node."""
    match node:
        case ast.Compare(left, [operator], right):
            return [ast.Compare(left, [COMPARISONS[type(operator)]()], right)]
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS and not _text(left) and not _text(right):
            return [ast.BinOp(left, OPERATORS[type(operator)](), right)]
        case ast.BoolOp(operator, values):
            return [ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)]
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            return [operand]
        case ast.Constant(bool() as value):
            return [ast.Constant(not value)]
        case ast.Constant(int() as value):
            return [ast.Constant(value + 1)]
        case ast.Constant(float() as value):
            return [ast.Constant(1.25 * value if value else 1.0)]
        case ast.IfExp(test, body, other):
            return [ast.IfExp(test, other, body)]
        case _:
            return []


def _text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def places(tree: ast.Module) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Yield (parent, field, index) of each expression inside a function that is run: no annotation, no default, no text of a message."""

    def inside(parent: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "decorator_list", "args") and not isinstance(parent, ast.Call):
                continue
            for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
                if not isinstance(child, ast.AST) or isinstance(child, (ast.JoinedStr, ast.Raise, ast.Assert)):
                    continue
                yield parent, field, index
                yield from inside(child)

    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            for statement in node.body if isinstance(node.body, list) else [node.body]:
                if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                    continue  # walked to by itself
                if isinstance(node, ast.FunctionDef):
                    yield from inside(statement)


@dataclass(frozen=True)
class Mutant:
    """A module with one change: another expression (by its number) in the place that has this number."""

    path: str
    place: int
    choice: int
    line: int
    before: str
    after: str

    def source(self) -> str:
        tree = ast.parse((ROOT / self.path).read_text())
        parent, field, index = next(found for number, found in enumerate(places(tree)) if number == self.place)
        node = _at(parent, field, index)
        other = ast.copy_location(mutations(node)[self.choice], node)
        if index is None:
            setattr(parent, field, other)
        else:
            getattr(parent, field)[index] = other
        return ast.unparse(ast.fix_missing_locations(tree))


def _at(parent: ast.AST, field: str, index: int | None) -> ast.AST:
    value = getattr(parent, field)
    return value if index is None else value[index]


def mutants(path: str) -> list[Mutant]:
    """Return every mutant of a module."""
    found = []
    for place, (parent, field, index) in enumerate(places(ast.parse((ROOT / path).read_text()))):
        node = _at(parent, field, index)
        for choice, other in enumerate(mutations(node)):
            found.append(Mutant(path, place, choice, getattr(node, "lineno", 0), ast.unparse(node), ast.unparse(other)))
    return found


def copied(folder: Path) -> Path:
    """Return a copy of the checkout whose package is found before the one that is installed."""
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in ("bayes_scaling", "tests", "benchmarks", "notebooks"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models", checkout / "bayes_scaling" / "models", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "models").symlink_to(checkout / "bayes_scaling" / "models")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, checkout / name)
    if (ROOT.parent / "shared").exists():
        (folder / "shared").symlink_to((ROOT.parent / "shared").resolve())
    return checkout


def tested(checkout: Path, tests: tuple[str, ...]) -> tuple[bool, str]:
    """Return whether the tests pass, and the line that says which failed."""
    # A cache of its own: programs are known by what the package says of them, which a mutant belies.
    environment = {key: value for key, value in os.environ.items() if key != "BAYES_SCALING_CACHE"}
    environment |= {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", *tests]
    try:
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return False, "no end"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode == 0, (lines or [done.stdout[-300:] + done.stderr[-300:]])[0]


def for_law(group: Group, path: str) -> tuple[str, ...]:
    """Return the tests of a law's own file."""
    if not group.by_law:
        return group.tests
    *tests, _, words = group.tests
    law = Path(path).stem if path.startswith("models/") else "chinchilla or power_law"
    return (*tests, "-k", f"({words}) and ({law})")


def main() -> None:
    """Print survivors and scores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all by default")
    parser.add_argument("--mutants", type=int, default=20, metavar="N", help="of each group (20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="say what would be changed, and run nothing")
    options = parser.parse_args()
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        checkout = copied(Path(folder))
        for name in options.groups or GROUPS:
            group = GROUPS[name]
            every = [
                one for pattern in group.modules for path in sorted(ROOT.glob(pattern)) for one in mutants(str(path.relative_to(ROOT)))
            ]
            chosen = random.Random(options.seed).sample(every, min(options.mutants, len(every)))
            noticed, start = 0, time.monotonic()
            if not options.list and not group.by_law:
                sound, why = tested(checkout, group.tests)
                if not sound:
                    raise SystemExit(f"{name}: the tests fail without a change: {why}")
            for one in chosen:
                where = f"{one.path}:{one.line}: {one.before[:70]}  ->  {one.after[:70]}"
                if options.list:
                    print(where)
                    continue
                file = checkout / one.path
                original = file.read_text()
                file.write_text(one.source())
                passed, why = tested(checkout, for_law(group, one.path))
                file.write_text(original)
                noticed += not passed
                print(f"{name:10}{'SURVIVED' if passed else 'noticed':10}{where}" + ("" if passed else f"   [{why[:110]}]"), flush=True)
            scores.append(f"{name:10}{noticed:>4} of {len(chosen)} noticed, drawn from {len(every)}; {time.monotonic() - start:.0f} s")
    if not options.list:
        print(*scores, sep="\n")


if __name__ == "__main__":
    main()
