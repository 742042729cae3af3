"""The report as one HTML document: nothing is fetched, no script runs, and it prints well."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from html import escape
from typing import TYPE_CHECKING, Final

from vextrus_payments.secret import MASK

if TYPE_CHECKING:
    from vextrus_payments.cli.uat_scenarios import Report, Scenario
    from vextrus_payments.cli.uat_wire import WireEntry

_DHAKA: Final = timezone(timedelta(hours=6))
_STYLE: Final = """
:root{color-scheme:light;--line:#c9ced6;--soft:#f4f6f8;--good:#0b6b3a;--bad:#a3131b;--open:#7a4b00}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,"Segoe UI",Roboto,sans-serif;color:#14181f;background:#fff;max-width:60rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:2rem 0 .5rem;border-top:2px solid #14181f;padding-top:.8rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{border:1px solid var(--line);padding:.35rem .55rem;text-align:left;vertical-align:top}
td{overflow-wrap:anywhere}th,.passed,.failed,.skipped{white-space:nowrap}
th{background:var(--soft);font-weight:600}
pre{background:var(--soft);border:1px solid var(--line);padding:.6rem;margin:.3rem 0;white-space:pre-wrap;
overflow-wrap:anywhere;font:12.5px/1.45 ui-monospace,Consolas,monospace}
.passed{color:var(--good);font-weight:600}.failed{color:var(--bad);font-weight:600}.skipped{color:var(--open);font-weight:600}
.warning{border:2px solid var(--bad);padding:.6rem .9rem;margin:1rem 0}
.note{background:var(--soft);padding:.6rem .9rem}
.call{margin:1rem 0;border:1px solid var(--line);padding:.2rem .9rem .8rem}
.shot{border:2px dashed var(--line);height:9cm;margin:.6rem 0;padding:.6rem;color:#5a6472}
@page{size:A4;margin:16mm}
@media print{body{font-size:11px;max-width:none;margin:0;padding:0}h2{break-before:page}h2.first{break-before:auto}
.call table,.call h3,tr,.shot{break-inside:avoid}pre{font-size:9px}}
"""
_RESULTS: Final = {"passed": "passed", "failed": "FAILED", "skipped": "not run", "running": "not finished"}


def render(report: "Report") -> str:
    """The document. Every secret that the run knew of is masked once more, wherever it might stand."""
    title = f"bKash Tokenized Checkout: test report ({report.environment})"
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{_e(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
    parts = [
        head,
        f"<h1>{_e(title)}</h1>\n",
        _warning(report),
        _facts(_about(report)),
        _summary(report),
        _note(report),
        *(_scenario(number, one) for number, one in enumerate(report.scenarios, start=1)),
        "</main>\n</body>\n</html>\n",
    ]
    return _scrubbed("".join(parts), report.secrets())


def _scrubbed(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted((one for one in secrets if len(one) >= 8), key=len, reverse=True):
        text = text.replace(escape(secret), MASK).replace(secret, MASK)
    return text


def _e(text: object) -> str:
    """The text, as what others wrote may stand in a page."""
    return escape("".join(c if c.isprintable() or c == "\n" else " " for c in str(text)))


def _when(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(_DHAKA):%Y-%m-%d %H:%M:%S} GMT+6"


def _facts(pairs: Sequence[tuple[str, object]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_e(name)}</th><td>{_e(value)}</td></tr>\n' for name, value in pairs if value
    )
    return f"<table>\n{rows}</table>\n"


def _warning(report: "Report") -> str:
    if report.is_complete:
        return ""
    words = [report.broken_off] if report.broken_off else []
    failed = [one.title for one in report.scenarios if one.result == "failed"]
    open_ones = [one.title for one in report.scenarios if one.result in ("skipped", "running")]
    words += [f"Failed: {'; '.join(failed)}."] if failed else []
    words += [f"Not run to the end: {'; '.join(open_ones)}."] if open_ones else []
    return f'<p class="warning"><strong>This report is not complete.</strong> {_e(" ".join(words))}</p>\n'


def _about(report: "Report") -> list[tuple[str, object]]:
    return [
        ("API", report.api_url),
        ("Money", report.money),
        ("Payer", report.payer),
        ("Began", _when(report.began_at)),
        ("Ended", _when(report.ended_at)),
        ("Client", report.client),
    ]


def _summary(report: "Report") -> str:
    heads = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("No.", "Scenario", "Result", "Invoice no.", "paymentID", "trxID", "Time")
    )
    rows = []
    for number, one in enumerate(report.scenarios, start=1):
        cells = [
            str(number),
            _e(one.title),
            f'<span class="{one.result}">{_RESULTS[one.result]}</span>',
            *(_e(text) for text in (one.invoice, one.payment_id, one.trx_id, _when(one.began_at))),
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n")
    body = f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>\n"
    return f'<h2 class="first">Result</h2>\n<table>\n{body}</table>\n'


def _note(report: "Report") -> str:
    return (
        '<p class="note">Requests and answers are those that the client sent and read. Credentials, tokens, signatures '
        f"and the middle of wallet numbers are masked ({MASK}). Query Payment and Search Transaction follow the first "
        "payment because this document asks for samples of them: in operation the client queries where execute gave no "
        "answer, and where a payer comes back with cancel or failure, which anybody could send.</p>\n"
    )


def _scenario(number: int, one: "Scenario") -> str:
    steps = "".join(f"<li>{_e(step)}</li>\n" for step in one.steps)
    parts = [
        f"<h2>{number}. {_e(one.title)}</h2>\n",
        f"<p>{_e(one.expects)}</p>\n",
        f'<p>Result: <span class="{one.result}">{_RESULTS[one.result]}</span>. {_e(one.what)}</p>\n',
        _facts(
            [
                ("Invoice no.", one.invoice),
                ("paymentID", one.payment_id),
                ("trxID", one.trx_id),
                ("Amount", one.amount),
                ("Began", _when(one.began_at)),
                ("Ended", _when(one.ended_at)),
            ]
        ),
        f"<h3>Steps</h3>\n<ol>\n{steps}</ol>\n" if steps else "",
        *(_call(entry) for entry in one.calls),
        *(f'<div class="shot">Screenshot: {_e(name)}</div>\n' for name in one.screenshots),
    ]
    return f"<section>\n{''.join(parts)}</section>\n"


def _call(entry: "WireEntry") -> str:
    answered = (
        f"HTTP {entry.status}" if entry.status is not None else f"no answer: {entry.problem or 'interrupted'}"
    )
    about = _facts(
        [
            ("API title", entry.title),
            ("API URL", f"{entry.method} {entry.url}"),
            ("Time", f"{_when(entry.began_at)}, {entry.took_ms} ms"),
            ("Response", answered),
        ]
    )
    blocks = [
        ("Request headers", _headers(entry.headers)),
        ("Request body", entry.body),
        ("Response headers", _headers(entry.answer_headers)),
        ("Response body", entry.answer),
    ]
    shown = "".join(f"<h3>{name}</h3>\n<pre>{_e(text)}</pre>\n" for name, text in blocks if text)
    return f'<div class="call">\n<h3>{_e(entry.title)}</h3>\n{about}{shown}</div>\n'


def _headers(headers: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())
