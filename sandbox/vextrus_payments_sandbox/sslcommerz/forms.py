"""How merchants hand their fields over: urlencoded, as multipart, in the query of any method (dossier §1.2, §1.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

FIELDS_MAX: Final = 300
_PART_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Given:
    """The fields of a call; of one that comes twice the last, as PHP has it, and the body's before the query's."""

    fields: Mapping[str, str]
    multipart: bool = False
    problem: str = ""
    """Why the body could not be read."""


async def given(request: Request, raw: bytes) -> Given:
    """Read what a caller gave; never raises."""
    in_query = dict(request.query_params)
    if not raw:
        return Given(in_query)
    if "multipart/form-data" in request.headers.get("content-type", "").lower():
        return await _parts(request, raw, in_query)
    try:
        pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        return Given(in_query, problem="the form has too many fields")
    return Given({**in_query, **dict(pairs)})


async def _parts(request: Request, raw: bytes, in_query: Mapping[str, str]) -> Given:
    async def replayed() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    fields, problem = dict(in_query), ""
    try:
        async with Request(request.scope, replayed).form(
            max_files=0, max_fields=FIELDS_MAX, max_part_size=_PART_MAX
        ) as form:
            fields |= {name: value for name, value in form.multi_items() if isinstance(value, str)}
    except (HTTPException, MultiPartException, KeyError, ValueError):
        problem = "the multipart form could not be read"
    return Given(fields, multipart=True, problem=problem)
