"""HTML for people: one template environment, one stylesheet, and headers under which no foreign code can run."""

from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

STYLE_PATH: Final = "/_sandbox/style.css"

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
_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("vextrus_payments_sandbox", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def html(template: str, status: int = 200, /, **context: Any) -> Response:
    """Render a page; everything that comes from outside is escaped by the templates."""
    page = _ENVIRONMENT.get_template(template).render(style=STYLE_PATH, **context)
    return Response(page, status, headers=_HEADERS, media_type="text/html")


async def style(request: Request) -> Response:
    """The one stylesheet."""
    text = resources.files("vextrus_payments_sandbox").joinpath("pages/style.css").read_text(encoding="utf-8")
    return Response(text, media_type="text/css", headers={"Cache-Control": "no-cache"})
