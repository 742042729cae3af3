"""Puts the site together in build/docs, has Zensical make build/site, and looks at what came out.

docs/ is written for readers of the repository too, so its links may lead out of docs/. Those to pages are turned to
where the page stands in the site; those to other files lead to a copy of the file.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from . import api

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CONFIG = ROOT / "zensical.toml"
BUILD = ROOT / "build"

#: Pages of the repository that the site shows, too: where they stand -> their name in the site.
PAGES: Final = {
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changes.md",
    "changelog.d/README.md": "change-notes.md",
    "examples/README.md": "examples.md",
}
_LINK: Final = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_CODE_SUFFIXES: Final = {".py": "python", ".html": "html"}
_BUILD_MAX_S: Final = 300


class BuildError(Exception):
    """The site was not built, or something in it leads nowhere."""


def build(folder: Path = BUILD) -> int:
    """Make the site afresh in `folder`/site, by way of `folder`/docs; returns how many pages it has.

    Raises:
        BuildError: Zensical objected, or a link or resource of a page leads nowhere or to another server.
    """
    draft, made, config = folder / "docs", folder / "site", folder / "zensical.toml"
    assemble(draft)
    shutil.rmtree(made, ignore_errors=True)
    config.write_text(CONFIG.read_text(encoding="utf-8").replace('"build/', '"'), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(config)]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_BUILD_MAX_S,
        check=False,
    )
    if done.returncode:
        raise BuildError(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr))
    found = list(findings(made))
    if found:
        raise BuildError("\n".join(found))
    return sum(1 for _ in made.rglob("*.html"))


# --- putting together -----------------------------------------------------------------------------------------------


def assemble(draft: Path) -> None:
    """Everything that Zensical reads, in a fresh folder."""
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    copied: set[str] = set()
    for path in sorted(DOCS.rglob("*")):
        if path.is_file():
            name = path.relative_to(DOCS).as_posix()
            _put(draft, name, path, copied)
    for source, name in PAGES.items():
        _put(draft, name, ROOT / source, copied)
    _append_shops(draft / PAGES["examples/README.md"])
    for name, text in api.pages().items():
        target = draft / "api" / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")
    for file in copied:
        target = draft / "files" / _asset(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, target)


def _put(draft: Path, name: str, source: Path, copied: set[str]) -> None:
    target = draft / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix != ".md":
        shutil.copyfile(source, target)
        return
    here = source.relative_to(ROOT)
    up = "../" * name.count("/")

    def turned(match: re.Match[str]) -> str:
        return _turned(match[1], here, up, copied)

    text = source.read_text(encoding="utf-8")
    parts = re.split(r"(?ms)(^```.*?^```)", text)  # no link inside of code
    text = "".join(part if index % 2 else _LINK.sub(turned, part) for index, part in enumerate(parts))
    target.write_text(text, encoding="utf-8", newline="\n")


def _turned(link: str, here: Path, up: str, copied: set[str]) -> str:
    """A link as it has to read in the site; unchanged where it stays within docs/ or leaves the repository."""
    if re.match(r"[a-z]+:|#", link):
        return link
    name, hash_, anchor = link.partition("#")
    led = (ROOT / here.parent / name).resolve()
    if not led.is_relative_to(ROOT):
        return link
    to = led.relative_to(ROOT).as_posix()
    if to == "README.md":
        return f"{up}index.md"  # it says for the repository what the first page says here
    if to in PAGES:
        return f"{up}{PAGES[to]}{hash_}{anchor}"
    if led.is_relative_to(DOCS):
        return f"{up}{led.relative_to(DOCS).as_posix()}{hash_}{anchor}"
    if to.startswith("examples/"):
        return f"{up}{PAGES['examples/README.md']}#{_shop_anchor(to)}"
    if led.is_file():
        copied.add(to)
        return f"{up}files/{_asset(to)}"
    raise BuildError(f"{here}: a link to {link}, which the site does not hold")


def _asset(path: str) -> str:
    """Where the copy of a file stands: not under a name with a dot in front, which Zensical leaves out."""
    return path.lstrip(".")


def _shop_anchor(path: str) -> str:
    return "file-" + re.sub(r"\W+", "-", path.removeprefix("examples/").strip("/"))


def _append_shops(page: Path) -> None:
    """The code of the example shops, behind the text about them."""
    lines = ["", "## The code", ""]
    examples = ROOT / "examples"
    for shop in sorted(path for path in examples.iterdir() if path.is_dir()):
        lines += [f'<a id="{_shop_anchor(f"examples/{shop.name}")}"></a>', ""]
        for file in sorted(shop.rglob("*")):
            language = _CODE_SUFFIXES.get(file.suffix)
            if language is None or "__pycache__" in file.parts:
                continue
            name = file.relative_to(examples).as_posix()
            code = file.read_text(encoding="utf-8").strip("\n")
            if code:
                lines += [f"### `{name}` {{ #{_shop_anchor(f'examples/{name}')} }}", ""]
                lines += [f"```{language}", code, "```", ""]
    with page.open("a", encoding="utf-8", newline="\n") as file_:
        file_.write("\n".join(lines))


# --- looking at what came out ---------------------------------------------------------------------------------------


def nav_pages() -> list[str]:
    """The pages that the navigation names, in its order."""
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    return list(_leaves(config["project"]["nav"]))


def _leaves(entry: Any) -> Iterator[str]:
    match entry:
        case str():
            yield entry
        case list():
            for part in entry:
                yield from _leaves(part)
        case dict():
            for part in entry.values():
                yield from _leaves(part)


class _Page(HTMLParser):
    """What a page names: its anchors, its links, and what a browser fetches by itself to show it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name in ("id", "name"):
            if given.get(name):
                self.anchors.add(given[name])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.fetched.append(given.get("href", ""))
        elif tag in ("script", "img", "iframe", "source", "video", "audio", "embed") and given.get("src"):
            self.fetched.append(given["src"])
        elif tag == "object":
            self.fetched.append(given.get("data", ""))


def findings(site: Path) -> Iterator[str]:
    """Every link and resource of the built site that leads nowhere, and every resource from another server."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        shown = path.relative_to(site).as_posix()
        if shown == "404.html":
            continue  # its links are made for the root of a server
        for url in page.fetched:
            if re.match(r"(?:[a-z]+:)?//", url):
                yield f"{shown}: loads {url} from elsewhere"
            elif not _led(path, url).is_file():
                yield f"{shown}: loads {url}, which is not there"
        for url in page.links:
            yield from _link_findings(path, shown, url, page, pages)
    for sheet in site.rglob("*.css"):
        for url in re.findall(
            r"""(?:url\(|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", sheet.read_text("utf-8")
        ):
            yield f"{sheet.relative_to(site)}: loads {url} from elsewhere"


def _link_findings(path: Path, shown: str, url: str, page: _Page, pages: dict[Path, _Page]) -> Iterator[str]:
    if re.match(r"[a-z]+:", url):
        return
    led = _led(path, url) if urlsplit(url).path else path
    anchor = unquote(urlsplit(url).fragment)
    if led.is_dir():
        led = led / "index.html"
    if not led.is_file():
        yield f"{shown}: a link to {url}, which is not there"
    elif anchor and led in pages and anchor not in pages[led].anchors:
        yield f"{shown}: a link to {url}, which has no such place"


def _led(path: Path, url: str) -> Path:
    return (path.parent / unquote(urlsplit(url).path)).resolve()
