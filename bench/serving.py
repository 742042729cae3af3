"""Starting the server process, asking it for its counts, and stopping it by its own pid."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self

from bench import machine

ROOT = Path(__file__).resolve().parent.parent


class Server:
    """`with Server() as server:` runs one; `server.url` is where. It is kept on the last processor, and clients
    are asked to keep off it (`server.clients_cpus`), so that neither's caches are the other's."""

    def __init__(
        self,
        *,
        grant_delay_s: float = 0.0,
        cert: Path | None = None,
        key: Path | None = None,
        answers: Path | None = None,
    ) -> None:
        self._command = [sys.executable, "-m", "bench.server", "--grant-delay-s", str(grant_delay_s)]
        self._cert = cert
        if cert is not None:
            self._command += ["--cert", str(cert), "--key", str(key)]
        if answers is not None:
            self._command += ["--answers", str(answers)]
        self.url = ""
        self.pid = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = json.loads(self._process.stdout.readline())
        self.url, self.pid = line["url"], line["pid"]
        if len(machine.cpus()) > 1:
            machine.pin(self.pid, machine.cpus()[-1:])
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def counts(self) -> dict[str, int]:
        """What has arrived so far."""
        context = None
        if self._cert is not None:
            import ssl

            context = ssl.create_default_context(cafile=str(self._cert))
        with urllib.request.urlopen(f"{self.url}/_counts", timeout=10, context=context) as answer:
            found: dict[str, int] = json.load(answer)
            return found


def in_fresh_process(job: str, *, timeout_s: float = 240.0, pinned: bool = True, **parameters: Any) -> Any:
    """Run one job of bench/jobs.py in a Python of its own and bring back what it returns.

    Args:
        pinned: keep it off the server's processor.
    """
    command = [sys.executable, "-m", "bench.worker", job, json.dumps({"pinned": pinned, **parameters})]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode:
        raise RuntimeError(f"{job} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])
