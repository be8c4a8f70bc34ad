"""Help, completion and progress, as people meet them."""

import argparse
import io
import os
import shlex
import subprocess
import sys
import time

import pytest

import bayes_scaling as bs
from bayes_scaling import cli
from bayes_scaling.progress import follow, watched

#: Commands whose examples are run here, where the files that they name are there: they take well under a second each.
QUICK = ("laws", "data", "decide", "predict", "export", "plot", "sheet")


def parsers():
    """Every command's parser by name."""
    (commands,) = (action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def examples(parser):
    """The words of each example in a help text, without its comment."""
    lines = parser.epilog.splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.strip().startswith("bayes-scaling ")]


def test_every_command_has_examples_that_its_parser_takes():
    found = {name: examples(parser) for name, parser in parsers().items()}
    assert all(found.values()), [name for name, lines in found.items() if not lines]
    for name, lines in {**found, "": examples(cli._parser())}.items():
        asked = {cli._parser().parse_args(words).command for words in lines}
        assert name in asked or not name, name


def test_quick_examples_do_what_they_say(run, stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.nc").write_bytes(stored.read_bytes())
    (tmp_path / "points.csv").write_text("params,tokens\n1e9,2e10\n")
    files = {"fit.nc", "points.csv"}
    done = []
    for name in QUICK:
        for words in examples(parsers()[name]):
            named = {word for word in words if word.endswith((".nc", ".csv", ".py")) and words[words.index(word) - 1] != "--out"}
            if named <= files and name != "plot":
                code, _, err = run(*words)
                assert code == 0, (words, err)
                done.append(words)
    assert {words[0] for words in done} == set(QUICK) - {"plot"}
    assert len(done) >= 11
    assert (tmp_path / "draws.parquet").exists()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("bayes-scaling fit ladder --law chin", "chinchilla"),
        ("bayes-scaling decide chinchilla --published bes", "besiroglu"),
        ("bayes-scaling report fi", "fit.nc"),
    ],
)
def test_the_shell_completes(line, completed, tmp_path):
    """As argcomplete's own shell functions ask."""
    (tmp_path / "fit.nc").touch()
    answer = tmp_path / "answer"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    environment = {**os.environ, **asked, "_ARGCOMPLETE_IFS": "\n", "COMP_TYPE": "9"}
    code = "import sys; sys.argv[0] = 'bayes-scaling'; from bayes_scaling.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert completed in answer.read_text().split()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_long_work_is_told_to_people_alone(monkeypatch):
    from bayes_scaling.cli import progress

    monkeypatch.setattr(progress, "_SOON", 0.05)

    def work():
        with progress.shown("working"):
            progress.say("counting")
            time.sleep(0.2)
            for _ in follow(range(3), "steps", 3):
                time.sleep(0.12)
            print("answer")

    terminal, output = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", output)
    work()
    assert "counting ... 0 s" in terminal.getvalue()
    assert "steps:" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    assert output.getvalue() == "answer\n"
    assert sys.stdout is output
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    work()
    assert quiet.getvalue() == ""


def test_only_the_outermost_loop_is_shown():
    told = []

    class Bar:
        def __init__(self, what, total):
            told.append((what, total))

        def update(self):
            told.append("step")

        def close(self):
            told.append("end")

    assert list(follow("ab", "alone", 2)) == ["a", "b"]
    with watched(Bar):
        for _ in follow("ab", "outer", 2):
            list(follow(range(5), "inner", 5))
        list(follow("c", "one step", 1))
        list(follow("cd", "again", 2))
    assert told == [("outer", 2), "step", "step", "end", ("again", 2), "step", "step", "end"]


def test_figures_hide_nothing_and_say_where_no_budget_is_shared(small_fit, ladder_fit):
    """The legend of an allocation lies outside of what is drawn; minima that no runs show are called so."""
    from matplotlib import pyplot

    drawn = bs.plot.allocation(bs.allocate(small_fit, [1e18, 1e22]))[0]
    drawn.figure.canvas.draw()
    assert not drawn.get_legend().get_window_extent().overlaps(drawn.get_window_extent())
    assert "no two runs share a budget" in bs.plot.isoflop(small_fit, levels=[1e17]).get_xlabel()
    assert bs.plot.isoflop(ladder_fit).get_xlabel() == "params"
    pyplot.close("all")
