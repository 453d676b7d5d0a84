import subprocess
import sys
from importlib import metadata

import pytest

from hybrid.cli import main
from hybrid.doctor import ROOT


def test_doctor_on_a_healthy_installation(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("healthy\n")
    assert "circuit engine" in out


def test_doctor_in_a_folder_that_hides_a_package(capsys, monkeypatch, tmp_path):
    (tmp_path / "quantum.py").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 1
    assert "PROBLEM" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"borromean {metadata.version('borromean')}\n"


def test_an_unknown_command_is_an_error(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["cure"])
    assert caught.value.code == 2
    assert "doctor" in capsys.readouterr().err


def test_no_command_is_an_error(capsys):
    with pytest.raises(SystemExit):
        main([])
    assert "command" in capsys.readouterr().err


def test_version_loads_no_torch():
    code = (
        "import sys; from hybrid.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
