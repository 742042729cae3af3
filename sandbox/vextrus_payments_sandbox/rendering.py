"""HTML for people: one template environment, one stylesheet, and headers under which no foreign code can run."""

from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

STYLE_PATH: Final = "/_sandbox/style.css"
SCRIPT_PATH: Final = "/_sandbox/live.js"

# No script at all. form-action cannot name the merchant's host: browsers apply it to every redirect that
# follows the form, and a shop's return door sends the payer on to yet another address.
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' http: https:; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: The dashboard may run the one script of ours, which may ask this server alone; nothing else is looser.
_LIVE_HEADERS: Final = {
    **_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}
_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("vextrus_payments_sandbox", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def html(template: str, status: int = 200, /, *, refresh: str | None = None, **context: Any) -> Response:
    """Render a page; everything that comes from outside is escaped by the templates.

    `refresh`, such as ``"61; url=/?late=1"``, lets the browser go on by itself, also without script.
    """
    page = _ENVIRONMENT.get_template(template).render(style=STYLE_PATH, **context)
    headers = _HEADERS if refresh is None else {**_HEADERS, "Refresh": refresh}
    return Response(page, status, headers=headers, media_type="text/html")


def live_html(template: str, status: int = 200, /, **context: Any) -> Response:
    """Render a page of the dashboard, which a script of ours may keep current."""
    page = _ENVIRONMENT.get_template(template).render(style=STYLE_PATH, script=SCRIPT_PATH, **context)
    return Response(page, status, headers=_LIVE_HEADERS, media_type="text/html")


async def style(request: Request) -> Response:
    """The one stylesheet."""
    return _file("style.css", "text/css")


async def script(request: Request) -> Response:
    """The one script: it keeps the dashboard's pages current."""
    return _file("live.js", "text/javascript")


def _file(name: str, media_type: str) -> Response:
    text = resources.files("vextrus_payments_sandbox").joinpath(f"pages/{name}").read_text(encoding="utf-8")
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(text, media_type=media_type, headers=headers)
