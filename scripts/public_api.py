"""The public names, one per line as `module: name`: `python scripts/public_api.py [--write]`.

What is public is what these modules list in `__all__` (docs/versioning.md). The snapshot in
tests/packaging/public_api.txt is compared by a test, so that a name comes or goes only on purpose.
"""

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path

SNAPSHOT = Path(__file__).resolve().parent.parent / "tests" / "packaging" / "public_api.txt"
PACKAGE = "vextrus_payments"
_PUBLIC_PARTS = ("settlement", "sync", "webhooks", "stores", "sinks", "tokens", "testing", "verifiers")


def public_modules() -> list[str]:
    """The facade, the public parts that exist, and each gateway's package."""
    parts = [f"{PACKAGE}.{part}" for part in _PUBLIC_PARTS if importlib.util.find_spec(f"{PACKAGE}.{part}")]
    gateways = importlib.import_module(f"{PACKAGE}.gateways")
    adapters = [
        found.name
        for found in pkgutil.walk_packages(gateways.__path__, f"{gateways.__name__}.")
        if found.ispkg
    ]
    return [PACKAGE, *sorted(parts + adapters)]


def snapshot() -> str:
    """The whole list, as the file holds it."""
    lines = []
    for name in public_modules():
        module = importlib.import_module(name)
        lines += [f"{name}: {public}" for public in sorted(module.__all__)]
    return "\n".join(lines) + "\n"


def main() -> int:
    if "--write" in sys.argv[1:]:
        SNAPSHOT.write_text(snapshot(), encoding="utf-8", newline="\n")
        print(f"{SNAPSHOT.name}: {len(snapshot().splitlines())} public names")
    else:
        print(snapshot(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
