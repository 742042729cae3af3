"""The repository's tools: where uv installs from, what a set-up says without venv, what is linted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.lint_source import findings
from scripts.pip_config import (
    as_uv_variables,
    needs_pip,
    pip_settings,
    uv_environment,
    without_install_targets,
)
from tests.packaging.distribution import ROOT

LISTING = """\
global.index-url='https://user:pass@mirror.invalid/simple'
global.extra-index-url='\\nhttps://one.invalid/simple\\nhttps://two.invalid/simple'
global.trusted-host='mirror.invalid'
install.index-url='https://install.invalid/simple'
freeze.timeout='10'
:env:.cert='/etc/ssl/own.pem'
:env:.timeout='60'
not a line of pip's
"""


def test_pip_settings_rank_variables_over_install_over_global() -> None:
    settings = pip_settings(LISTING)
    assert settings["index-url"] == "https://install.invalid/simple"
    assert settings["cert"] == "/etc/ssl/own.pem"
    assert settings["timeout"] == "60"
    assert pip_settings("global.index-url='a'\n:env:.index-url='b'")["index-url"] == "b"


def test_uv_is_told_what_pip_was_told(tmp_path: Path) -> None:
    links = pip_settings(f"global.find-links='{tmp_path} {tmp_path / 'absent'}'")
    told = as_uv_variables({**pip_settings(LISTING), **links})
    assert told == {
        "UV_DEFAULT_INDEX": "https://install.invalid/simple",
        "UV_INDEX": "https://one.invalid/simple https://two.invalid/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": str(tmp_path),
        "UV_INSECURE_HOST": "mirror.invalid",
        "SSL_CERT_FILE": "/etc/ssl/own.pem",
        "UV_HTTP_TIMEOUT": "60",
    }


def test_settings_only_pip_can_follow_leave_it_to_pip() -> None:
    assert needs_pip({"no-index": "true"})
    assert needs_pip({"client-cert": "/etc/ssl/me.pem"})
    assert not needs_pip({"no-index": "false"})


def test_what_the_user_told_uv_stays() -> None:
    environment = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": "https://pip.invalid/simple"}
    told = uv_environment(Path(sys.executable), environment)
    assert told is not None
    assert told["UV_DEFAULT_INDEX"] == "https://pip.invalid/simple"
    told = uv_environment(
        Path(sys.executable), {**environment, "UV_DEFAULT_INDEX": "https://uv.invalid/simple"}
    )
    assert told is not None
    assert told["UV_DEFAULT_INDEX"] == "https://uv.invalid/simple"
    assert "UV_INDEX" not in told


def test_packages_go_into_the_environment_whatever_pip_was_told() -> None:
    assert without_install_targets({"PIP_USER": "1", "PIP_TARGET": "/x", "PIP_CERT": "c"}) == {
        "PIP_CERT": "c"
    }


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_venv_module_is_one_line_that_names_the_package(module: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        f"util.find_spec = lambda name, *rest: None if name == {module!r} else real(name, *rest)\n",
        encoding="utf-8",
    )
    venv = tmp_path / "venv"
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "setup_env.py"), "--venv", str(venv)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "python3-venv" in line
    assert not venv.exists()


@pytest.mark.skipif(os.name == "nt", reason="make is not needed on Windows")
def test_no_python_at_all_is_one_line(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("make", "sh", "bash"):
        found = next((p for p in map(Path, ("/usr/bin", "/bin")) if (p / tool).exists()), None)
        if found is None:
            pytest.skip(f"no {tool} here")
        (tools / tool).symlink_to(found / tool)
    done = subprocess.run(
        [tools / "make", "-f", ROOT / "Makefile", "setup"],
        cwd=tmp_path,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "Traceback" not in done.stderr


def _lint(tmp_path: Path, name: str, source: str) -> list[str]:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return list(findings(path))


@pytest.mark.parametrize(
    "source",
    [
        "ok = digest == other",
        "ok = body['signature'] != sent",
        "ok = hmac.new(a, b, c).hexdigest() == sent",
        "ok = a.expected_mac == b",
        "ok = a == b != signature",
        "amount = 1\nx = float(amount)",
        "def f(total_amount: float) -> None: ...",
        "class A:\n    fee: float | None",
        "def f(x): return float(x['refunded'])",
    ],
)
def test_the_linter_bites_anywhere(source: str, tmp_path: Path) -> None:
    assert len(_lint(tmp_path, "anything.py", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "ok = hmac.compare_digest(digest, other)",
        "ok = machine == other",
        "wait = float(seconds)",
        "def f(timeout_s: float = 0.5) -> None: ...",
    ],
)
def test_the_linter_lets_pass_what_is_no_breach(source: str, tmp_path: Path) -> None:
    assert _lint(tmp_path, "anything.py", source) == []


@pytest.mark.parametrize(
    ("source", "breaches"),
    [
        ("RATE = 0.5", 1),
        ("x = float(text)", 1),
        ("def f(x: float) -> None: ...", 1),
        ("if isinstance(x, float): raise TypeError", 0),
        ("timeout_s: float = 30.0", 0),
        ("def f(*, wait_s: float = 2.5) -> None: ...", 0),
        ("call(timeout_s=2.5)", 0),
    ],
)
def test_modules_that_hold_amounts_hold_no_float(source: str, breaches: int, tmp_path: Path) -> None:
    assert len(_lint(tmp_path, "money.py", source)) == breaches
