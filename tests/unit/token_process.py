"""One of several processes that all want a token: `python -m tests.unit.token_process BACKEND HOME NUMBER CALLERS`.

Says "ready", waits for a line, lets CALLERS callers ask at once, and prints what they got as JSON. A grant is a line
in the file `HOME/wire`, and takes a moment, so that the others really meet it. BACKEND is file, sqlite or redis (at
VEXTRUS_TEST_REDIS).
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from vextrus_payments.secret import Secret
from vextrus_payments.stores import SqliteStore
from vextrus_payments.token_port import GrantOrder, Token, TokenBackend, TokenKey
from vextrus_payments.tokens import FileTokenBackend, RedisTokenCache, StoreTokenBackend, TokenCache

KEY = TokenKey.of("https://gateway.example", "app-key", "user")


def note(home: Path, line: str) -> None:
    handle = os.open(home / "wire", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


async def main(kind: str, home: Path, number: str, callers: int) -> None:
    store = SqliteStore(home / "payments.db") if kind == "sqlite" else None
    backend: TokenBackend = FileTokenBackend(home)
    if store is not None:
        await store.open()
        backend = StoreTokenBackend(store)
    elif kind == "redis":
        backend = RedisTokenCache(os.environ["VEXTRUS_TEST_REDIS"])
    cache = TokenCache(backend)

    async def grant(order: GrantOrder) -> Token:
        note(home, number)
        await asyncio.sleep(0.3)
        return Token.granted(Secret(f"access-{number}"), issued_at=datetime.now(UTC), life_s=3600)

    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    tokens = await asyncio.gather(*(cache.token(KEY, grant) for _ in range(callers)))
    await cache.aclose()
    await cache.let_go()
    if store is not None:
        await store.close()
    print(json.dumps({"callers": len(tokens), "versions": sorted({token.version for token in tokens})}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
