"""What others could plant: in the cache, in a fit, in a job, in names. See SECURITY.md."""

import ast
import hashlib
import json
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling import cache, files, page
from bayes_scaling.batch import Job, run_job
from bayes_scaling.batch.crew import Dask

ROOT = Path(bs.__file__).parent


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("BAYES_SCALING_CACHE", str(folder))
    return folder


def test_a_new_cache_is_the_users_whatever_the_umask(own_cache):
    before = os.umask(0o000)
    try:
        cache.store("one", b"program")
    finally:
        os.umask(before)
    assert cache.load("one") == b"program"


def test_a_program_is_only_read_as_it_was_written(own_cache):
    cache.store("one", b"program")
    assert cache.load("one") == b"program"
    programs = own_cache / "programs"
    assert (programs.stat().st_mode & 0o777, (programs / "one").stat().st_mode & 0o777) == (0o700, 0o600)
    (programs / "other").write_bytes((programs / "one").read_bytes())  # a sound one under another's name
    os.chmod(programs / "other", 0o600)
    assert cache.load("other") is None
    (programs / "one").write_bytes(b"\0" + (programs / "one").read_bytes()[1:])
    assert cache.load("one") is None
    assert cache.load("none") is None


@pytest.mark.parametrize("where", ["file", "programs", "cache"])
def test_what_others_may_write_is_not_read(own_cache, where):
    cache.store("one", b"program")
    path = {"file": own_cache / "programs" / "one", "programs": own_cache / "programs", "cache": own_cache}[where]
    os.chmod(path, path.stat().st_mode | 0o022)
    assert cache.load("one") is None
    os.chmod(path, path.stat().st_mode & ~0o022)
    assert cache.load("one") == b"program"
    if os.getuid() == 0:  # only root can give files away
        os.chown(path, 12345, 12345)
        assert cache.load("one") is None


def test_a_folder_like_tmp_is_used_by_its_users_apart(own_cache):
    own_cache.mkdir()
    os.chmod(own_cache, 0o1777)
    cache.store("one", b"program")
    assert cache.load("one") == b"program"
    elsewhere = own_cache.parent / "elsewhere"
    elsewhere.mkdir()
    (own_cache / "compiled").symlink_to(elsewhere)  # planted before we came
    assert cache.private_folder("compiled") is None


def test_a_stored_fit_runs_only_code_that_its_user_has_run(stored, tmp_path, own_cache):
    """The fit names a law's file with its hash; that is enough only where the user has named that file before."""
    marker = tmp_path / "ran"
    law = tmp_path / "law.py"
    law.write_text(f"open({str(marker)!r}, 'w')\nfrom dataclasses import replace\nimport bayes_scaling as bs\n"
                   "LAW = replace(bs.get_law('chinchilla'), name='mine')\n")  # fmt: skip
    path = tmp_path / "fit.nc"
    path.write_bytes(stored.read_bytes())
    with h5py.File(path, "a") as file:
        named = {"law": "mine", "law_file": str(law), "law_file_sha256": hashlib.sha256(law.read_bytes()).hexdigest()}
        for name, value in named.items():
            file.attrs[name] = json.dumps(value)
    with pytest.raises(bs.FileError, match="which you have not run before: read it, and give it with law="):
        bs.load_fit(path)
    assert not marker.exists()
    assert bs.load_fit(path, law).law.name == "mine"
    assert marker.exists()
    assert bs.load_fit(path).law.name == "mine"
    law.write_text(law.read_text() + "\n# changed")
    with pytest.raises(bs.FileError, match="gone or has changed"):
        bs.load_fit(path)


def test_nothing_evaluates_text_or_unpickles_files():
    """The words that would, over the whole source: only a worker's pipe to its parent is pickled."""
    allowed = {"batch/crew.py": {"pickle"}, "batch/worker.py": {"pickle"}}
    for path in ROOT.rglob("*.py"):
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            # To the letter, a call of no text: __main__ says what for.
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and ast.unparse(node) != "exec('')":
                found |= {node.func.id} & {"eval", "exec", "compile", "__import__"}
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                found |= set(names) & {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
            if isinstance(node, ast.keyword) and node.arg in ("shell", "allow_pickle"):
                found.add(node.arg)
        assert found <= allowed.get(path.relative_to(ROOT).as_posix(), set()), path


def test_names_of_groups_are_no_paths(tmp_path):
    """Labels with slashes and dots leave nothing outside the folder of results; nor does cleaning up reach beyond it."""
    (tmp_path / "curves.csv").write_text("curve,x,loss\n../../evil,1e3,\n/etc/evil,1e3,-2\n")
    kept = tmp_path / "results" / "mine" / f"{files.PART}keep"
    kept.parent.mkdir(parents=True)
    kept.write_text("of the user")
    before = {path for path in tmp_path.parent.rglob("*") if "results" not in path.parts}
    batch = run_job(Job(data=tmp_path / "curves.csv", laws=("power_law",), group=("curve",), path=tmp_path / "results", device="cpu"))
    assert list(batch) == []
    assert {row["group"]: row["status"] for row in batch.rows} == {"../../evil": "failed", "/etc/evil": "failed"}
    assert {path for path in tmp_path.parent.rglob("*") if "results" not in path.parts} == before
    assert kept.read_text() == "of the user"


def test_a_folder_with_other_files_is_no_store(tmp_path):
    (tmp_path / "curves.csv").write_text("curve,x,loss\na,1e3,\nb,1e3,-2\n")
    (tmp_path / "summary.csv").write_text("the user's own")
    with pytest.raises(bs.FileError, match="holds a summary.csv that is of no job"):
        list(run_job(Job(data=tmp_path / "curves.csv", laws=("power_law",), group=("curve",), path=tmp_path, device="cpu")))
    assert (tmp_path / "summary.csv").read_text() == "the user's own"


def test_errors_hold_no_commands_for_the_terminal(run, tmp_path):
    (tmp_path / "runs.csv").write_text("params,tokens,loss\n1e8,1e9,\x1b]0;owned\x07\x1b[2J\n")
    code, _, err = run("fit", tmp_path / "runs.csv", "--law", "chinchilla")
    assert code == 2
    assert "is not a number" in err
    assert all(letter.isprintable() for letter in err.rstrip("\n"))


def test_pages_allow_their_own_script_alone():
    whole = page.page("title", page.paragraph("<script>alert(1)</script>"))
    (script,) = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)
    assert script == page.SCRIPT
    assert "script-src 'sha256-" in whole
    assert "script-src 'unsafe-inline'" not in whole


def test_a_cluster_of_this_machine_is_not_seen_from_others():
    psutil = pytest.importorskip("psutil")  # distributed asks for it
    crew = Dask("local:1")
    try:
        me = psutil.Process()
        open_ports = [one for process in (me, *me.children(recursive=True)) for one in process.net_connections() if one.status == "LISTEN"]
        assert open_ports
        assert {one.laddr.ip for one in open_ports} == {"127.0.0.1"}
    finally:
        crew.close()


def test_a_file_of_the_same_name_elsewhere_is_not_replaced(tmp_path):
    """Of a link, what it points to is written; a device or FIFO stays one."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    files.write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(bs.FileError, match="not a regular file"):
        files.write_atomically(tmp_path / "fifo", b"new")
    assert (tmp_path / "fifo").is_fifo()
    assert not list(tmp_path.glob(f"{files.PART}*"))


def test_a_damaged_fit_is_found_before_it_is_parsed(stored, tmp_path):
    """Any byte that changes; what is written with other tools has no seal, and is read as it is."""
    content, path = stored.read_bytes(), tmp_path / "fit.nc"
    for place in np.linspace(0, len(content) - 100, 40).astype(int):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(bs.FileError, match="is damaged"):
            bs.load_fit(path)
    path.write_bytes(content)
    with h5py.File(path, "a") as file:
        file.create_group("of_another_tool")
    assert bs.load_fit(path).law.name == "chinchilla"


def test_arrays_in_a_fit_are_numbers_or_text(stored):
    """No array of a fit is of objects, which only pickle could hold."""
    fit = bs.load_fit(stored)
    for part in fit.draws.children.values():
        for values in part.to_dataset().variables.values():
            assert np.asarray(values).dtype.kind in "fiubSUT"


def test_a_forecast_is_read_with_the_same_suspicion_as_a_fit(tmp_path):
    with h5py.File(tmp_path / "forecast.nc", "w") as file:
        file["x"] = h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(bs.BayesScalingError, match="not a forecast of bayes-scaling: its 'x' is a link to other data"):
        bs.load_forecast(tmp_path / "forecast.nc")
