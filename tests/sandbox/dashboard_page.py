"""A page of the dashboard as a parser sees it: its parts, and what is wrong with its form."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

import httpx

VOID: Final = {"meta", "link", "input", "br", "hr", "img"}
BANNER: Final = "Sandbox: not real money"


@dataclass
class Form:
    """One form: where it goes and what it holds."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Dash(HTMLParser):
    """Reads one page; `complaints` are breaches of what every page keeps to."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.answer = answer
        self.text = ""
        self.title = ""
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.options: dict[str, list[str]] = {}
        self.live: list[str] = []
        self.tags: list[str] = []
        self.complaints: list[str] = []
        self._open: list[str] = []
        self._ids: set[str] = set()
        self._labelled: set[str] = set()
        self._inputs: set[str] = set()
        self._pointed: set[str] = set()
        self._select = ""
        self.feed(answer.text)
        self.close()
        self._judge()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.complaints += [f"<{tag} {name}>" for name in given if name.startswith("on") or name == "style"]
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("script", "style") and (tag == "style" or given.get("src") != "/_sandbox/live.js"):
            self.complaints.append(f"a foreign {tag}: {given}")
        if "id" in given:
            if given["id"] in self._ids:
                self.complaints.append(f"the id {given['id']} twice")
            self._ids.add(given["id"])
        elif "data-live" in given:
            self.complaints.append("a part without an id cannot be kept current")
        if "data-live" in given:
            self.live.append(given["id"])
        self._pointed |= {
            *given.get("aria-describedby", "").split(),
            *given.get("aria-labelledby", "").split(),
        }
        if tag == "a":
            self.links.append(given["href"])
        elif tag == "label":
            self._labelled.add(given["for"])
        elif tag == "form":
            self.forms.append(Form(given["action"], given["method"]))
        elif tag in ("input", "select"):
            self._inputs.add(given["id"])
            self.forms[-1].fields[given["name"]] = given.get("value", "")
            self._select = given["name"]
        elif tag == "option":
            self.options.setdefault(self._select, []).append(given["value"])
            if "selected" in given or not self.forms[-1].fields[self._select]:
                self.forms[-1].fields[self._select] = given["value"]
        elif tag == "button" and "name" in given:
            self.forms[-1].buttons.append((given["name"], given["value"]))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self._open or self._open.pop() != tag):
            self.complaints.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.title += data
        else:
            self.text += data

    def _judge(self) -> None:
        policy = self.answer.headers["content-security-policy"]
        if "script-src 'self'" not in policy or "unsafe" in policy or "default-src 'none'" not in policy:
            self.complaints.append(policy)
        if self._open:
            self.complaints.append(f"left open: {self._open}")
        if self._inputs != self._labelled:
            self.complaints.append(f"labels and inputs differ: {self._inputs ^ self._labelled}")
        if self._pointed - self._ids:
            self.complaints.append(f"ids that are not there: {self._pointed - self._ids}")
        if BANNER not in self.text or BANNER not in self.title or self.tags.count("h1") != 1:
            self.complaints.append("no banner, or not one heading")


async def look(http: httpx.AsyncClient, path: str, status: int = 200) -> Dash:
    """Fetch a page and hold it against what every page keeps to."""
    answer = await http.get(path)
    assert answer.status_code == status, answer.text[:500]
    page = Dash(answer)
    assert page.complaints == [], (path, page.complaints)
    return page


async def press(http: httpx.AsyncClient, path: str, action: str, **typed: str) -> httpx.Response:
    """Send the form of the page at `path` that goes to `action`, with what was typed over what it holds."""
    page = await look(http, path)
    form = next(form for form in page.forms if form.action == action and form.method == "post")
    buttons = {name for name, _ in form.buttons}
    assert set(typed) <= set(form.fields) | buttons, f"the form has {form.fields} and {form.buttons}"
    return await http.post(action, data={**form.fields, **typed})
