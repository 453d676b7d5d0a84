import os
from importlib import metadata

import pytest

import hybrid.doctor
from hybrid.doctor import clashes, examine, shadows


def test_this_installation_is_healthy():
    report = examine(os.fspath(hybrid.doctor.ROOT))
    assert report.healthy, report.problems
    assert report.facts["torch"] == metadata.version("torch")
    assert {"python", "pyro", "pennylane", "pgmpy", "zuko", "borromean", "CUDA devices"} <= set(
        report.facts
    )


@pytest.mark.parametrize("make", ["hybrid.py", "causal/__init__.py"])
def test_files_that_hide_ours_are_found(tmp_path, make):
    target = tmp_path / make
    target.parent.mkdir(exist_ok=True)
    target.touch()
    (problem,) = shadows(tmp_path)
    assert str(tmp_path) in problem
    assert "rename it" in problem
    assert not examine(tmp_path).healthy


def test_folders_without_init_hide_nothing(tmp_path):
    (tmp_path / "quantum").mkdir()
    assert shadows(tmp_path) == []


def test_our_own_source_folder_hides_nothing():
    assert shadows(hybrid.doctor.ROOT) == []


def test_other_distributions_with_our_names():
    owners = {"hybrid": ["dwave-hybrid", "borromean"], "numpy": ["numpy"], "causal": ["borromean"]}
    (problem,) = clashes(owners)
    assert "dwave-hybrid" in problem
    assert "pip uninstall dwave-hybrid" in problem


def test_packages_found_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(hybrid.doctor, "ROOT", tmp_path)
    problems = hybrid.doctor.resolved_elsewhere()
    assert len(problems) == 3
    assert "install borromean again" in problems[0]


def test_missing_libraries_are_problems(monkeypatch):
    monkeypatch.setitem(hybrid.doctor.LIBRARIES, "absent", "surely-not-installed")
    report = examine()
    assert report.facts["absent"] == "missing"
    assert "absent is not installed: pip install surely-not-installed" in report.problems
