"""`vextrus-pay completion`: real shells take the script and complete with it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from tests.cli.running import COMMAND, PATIENCE_S, Here, User
from vextrus_payments.cli.completion import SHELLS, script
from vextrus_payments.cli.root import _OWN, root
from vextrus_payments.gateways.registry import installed_gateways


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `vextrus-pay` is this source."""
    place = tmp_path / "bin"
    place.mkdir()
    program = place / "vextrus-pay"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return f"{place}{os.pathsep}{os.environ['PATH']}"


def _shell(name: str, *options: str, code: str, user: User, path: str) -> str:
    if shutil.which(name) is None:
        assert os.environ.get("VEXTRUS_REQUIRE_SERVICES") != "1", f"{name} is not installed here"
        pytest.skip(f"{name} is not installed here")
    done = subprocess.run(
        [name, *options, "-c", code],
        env=user.env(PATH=path, HOME=str(user.home)),
        cwd=user.home.parent,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stderr == "", done.stderr
    return done.stdout


def test_bash_completes_commands_gateways_and_options(user: User, path: str) -> None:
    found = _shell(
        "bash",
        "--norc",
        code="""
            eval "$(vextrus-pay completion bash)"
            ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _vextrus_pay_completion vextrus-pay;
                    echo "${COMPREPLY[*]}"; }
            ask vextrus-pay re
            ask vextrus-pay pay ''
            ask vextrus-pay demo --fault los
        """,
        user=user,
        path=path,
    )
    assert found.splitlines() == [
        "refund reconcile resolve",
        " ".join(installed_gateways()),
        "lost-answer lost-create lost-refund",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["outbox", ""], ["list", "retry"]),
        (["outbox", "retry", "--k"], ["--kind"]),
        (["settle", "--on-bad-row", ""], ["stop", "skip"]),
        (["doctor", "--go-live", "n"], ["nagad"]),
        (["demo", "--gateway", "nagad", "--fault", "d"], ["double-click", "duplicate-return"]),
        (["sandbox", "env", "--shell", "d"], ["dotenv"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_what_can_come_next(line: list[str], expected: list[str]) -> None:
    *before, begun = line
    completes = ShellComplete(root, {}, "vextrus-pay", "_VEXTRUS_PAY_COMPLETE")
    assert [item.value for item in completes.get_completions(before, begun)] == expected


def test_zsh_completes_with_descriptions(user: User, path: str) -> None:
    found = _shell(
        "zsh",
        "-f",
        code="""
            compdef() { : }; compadd() { print -rl -- $completions }
            _describe() { print -rl -- $completions_with_descriptions }
            eval "$(vextrus-pay completion zsh)"
            words=(vextrus-pay wo); CURRENT=2; _vextrus_pay_completion
            words=(vextrus-pay doctor na); CURRENT=3; _vextrus_pay_completion
        """,
        user=user,
        path=path,
    )
    assert found.splitlines() == [f"worker:{_OWN['worker'].summary}", "nagad"]


def test_fish_completes(user: User, path: str) -> None:
    code = 'vextrus-pay completion fish | source; complete -C "vextrus-pay doctor --go-live "'
    assert _shell("fish", "--no-config", code=code, user=user, path=path).split() == list(
        installed_gateways()
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_as_a_document_too(here: Here, shell: str) -> None:
    assert here.run("completion", shell, "--json").document == {"shell": shell, "script": script(shell)}


def test_the_shell_of_the_environment_is_taken(here: Here) -> None:
    assert here.run("completion", env={"SHELL": "/usr/bin/zsh"}).out == script("zsh")
    unknown = here.run("completion", env={"SHELL": "/bin/tcsh"})
    assert unknown.code == 2
    assert "give bash, zsh, fish" in unknown.error


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"COMP_WORDS": "vextrus-pay nonsense ", "COMP_CWORD": "2"},
        {"COMP_WORDS": "vextrus-pay 'x", "COMP_CWORD": "1"},
        {"COMP_WORDS": "", "COMP_CWORD": "x"},
    ],
)
def test_what_a_shell_asks_wrongly_writes_nothing_into_its_line(
    user: User, broken: Mapping[str, str]
) -> None:
    done = user.run(env={"_VEXTRUS_PAY_COMPLETE": "bash_complete", **broken})
    assert done.err == ""
    assert "Traceback" not in done.out and "Error" not in done.out
    if "nonsense" in broken.get("COMP_WORDS", ""):
        assert done.out == "", "nothing comes after a command that is none"


def test_naming_the_commands_imports_none_of_them(user: User) -> None:
    code = (
        "import sys\nfrom vextrus_payments.cli import main\n"
        "try:\n    main([])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('pydantic', 'httpx', 'rich', 'asyncio') if name in sys.modules])"
    )
    asked = {"_VEXTRUS_PAY_COMPLETE": "bash_complete", "COMP_WORDS": "vextrus-pay ", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=user.env(**asked), capture_output=True, encoding="utf-8", check=True
    )
    *names, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    assert {f"plain,{name}" for name in _OWN} <= set(names)
    assert json.dumps(names).count("plain,demo") == 1
