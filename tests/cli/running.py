"""Runs `vextrus-pay` as a user does: a process of its own, an environment of its own, a home of its own."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from vextrus_payments import cli

COMMAND = (sys.executable, "-m", "vextrus_payments.cli")
#: Long enough for a machine that is busy with other things.
PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout; fails when there is anything else."""
        found: dict[str, Any] = json.loads(self.out)
        assert self.out.count("\n") == 1, "one line and nothing after it"
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON Lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> str:
        """The one clear line on stderr."""
        assert self.err.startswith("Error: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err.removeprefix("Error: ").rstrip("\n")


@dataclass(slots=True)
class User:
    """Somebody at a terminal, with a home folder."""

    home: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def env(self, **more: str) -> dict[str, str]:
        """The process's environment without whatever the developer's own terminal says about payments."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("BKASH_", "VEXTRUS_"))}
        return {
            **clean,
            "PYTHONUTF8": "1",
            "VEXTRUS_PAY_HOME": str(self.home),
            **self.environ,
            **more,
        }

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, encoding: str = "utf-8") -> Done:
        """Run one command to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.env(**(env or {})),
            cwd=self.home.parent,
            capture_output=True,
            encoding=encoding,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator["Running"]:
        """Run a command that waits for something; it is stopped at the end in any case."""
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.env(**(env or {})),
            cwd=self.home.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        try:
            yield Running(process)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


class Here:
    """The same user, with the command run inside the test's own process: quicker, and all but the process is real."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._patch = patch
        self._capture = capture

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        """Run one command to its end."""
        self._capture.readouterr()
        with self._patch.context() as patch:
            for name in list(os.environ):
                if name.startswith(("BKASH_", "VEXTRUS_")):
                    patch.delenv(name)
            for name, value in {"VEXTRUS_PAY_HOME": str(self.home), **(env or {})}.items():
                patch.setenv(name, value)
            code = cli.main(arguments)
        shown = self._capture.readouterr()
        return Done(code, shown.out, shown.err)


class Running:
    """A command that has not ended yet."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def line(self) -> str:
        """The next line of stdout; fails when the command ends instead."""
        line = self._lines.get(timeout=PATIENCE_S)
        if not line:
            assert self.process.stderr is not None
            raise AssertionError(f"it ended: {self.process.stderr.read()}")
        self.seen.append(line)
        return line

    def line_with(self, text: str) -> str:
        """The next line that contains this text."""
        while text not in (line := self.line()):
            pass
        return line

    def end(self) -> Done:
        """Wait for its end; `out` is what was not read before."""
        code = self.process.wait(timeout=PATIENCE_S)
        rest = []
        while line := self._lines.get(timeout=PATIENCE_S):
            rest.append(line)
        assert self.process.stderr is not None
        return Done(code, "".join(rest), self.process.stderr.read())


class Gateway:
    """The running sandbox as the tests look at it: its books and its wire, and nothing of the SDK's."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self.info = info
        self.url: str = info["url"]
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def close(self) -> None:
        self._http.close()

    def books(self) -> dict[str, Any]:
        found: dict[str, Any] = self._http.get("/_sandbox/books").json()
        return found

    def payment(self, reference: str) -> dict[str, Any]:
        """The one payment of a gateway reference."""
        (found,) = [p for p in self.books()["payments"] if p["reference"] == reference]
        return dict(found)

    def calls(self, operation: str, reference: str | None = None) -> list[dict[str, Any]]:
        """The logged calls of an operation, of one payment if it is named."""
        calls = self._http.get("/_sandbox/wire").json()["calls"]
        return [
            c
            for c in calls
            if c["operation"] == operation and (reference is None or c["reference"] == reference)
        ]

    def order(self, operation: str, fault: str, times: int = 1) -> None:
        """Order a fault."""
        wish = {"gateway": "bkash", "operation": operation, "fault": fault, "times": times}
        self._http.post("/_sandbox/faults", json=wish).raise_for_status()

    def clear_faults(self) -> None:
        self._http.delete("/_sandbox/faults").raise_for_status()

    def variables(self) -> dict[str, str]:
        """The environment that leads a client here, put together by hand."""
        given = self.info["gateways"]["bkash"]
        return {
            "BKASH_API_URL": given["base_url"],
            "BKASH_APP_KEY": given["app_key"],
            "BKASH_APP_SECRET": given["app_secret"],
            "BKASH_USERNAME": given["username"],
            "BKASH_PASSWORD": given["password"],
            "BKASH_PAYOUT_API_URL": f"{given['base_url']}/checkout",
            "BKASH_PAYOUT_APP_KEY": given["app_key"],
            "BKASH_PAYOUT_APP_SECRET": given["app_secret"],
            "BKASH_PAYOUT_USERNAME": given["username"],
            "BKASH_PAYOUT_PASSWORD": given["password"],
            "BKASH_MODE": "sandbox",
            "BKASH_SNS_TOPIC_ARN": self.info["sns"]["topic_arn"],
        }

    def all_variables(self) -> dict[str, str]:
        """The same of every gateway."""
        known = self.info["gateways"]
        nagad, ssl, recurring = known["nagad"], known["sslcommerz"], known["bkash_recurring"]
        return {
            **self.variables(),
            "NAGAD_API_URL": nagad["base_url"],
            "NAGAD_MERCHANT_ID": nagad["merchant_id"],
            "NAGAD_PRIVATE_KEY_FILE": nagad["merchant_private_key_file"],
            "NAGAD_PUBLIC_KEY_FILE": nagad["gateway_public_key_file"],
            "NAGAD_MODE": "sandbox",
            "SSLCOMMERZ_API_URL": ssl["base_url"],
            "SSLCOMMERZ_STORE_ID": ssl["store_id"],
            "SSLCOMMERZ_STORE_PASSWORD": ssl["store_password"],
            "SSLCOMMERZ_MODE": "sandbox",
            "BKASH_RECURRING_API_URL": recurring["base_url"],
            "BKASH_RECURRING_API_KEY": recurring["api_key"],
            "BKASH_RECURRING_SERVICE_ID": recurring["service_id"],
            "BKASH_RECURRING_MERCHANT_SHORT_CODE": recurring["merchant_short_code"],
            "BKASH_RECURRING_MODE": "sandbox",
        }
