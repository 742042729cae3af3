"""The site builds without a network, every link and anchor of it leads somewhere, and it holds every public name."""

import re
from pathlib import Path

import pytest

pytest.importorskip("zensical", reason="Zensical is not installed: the site cannot be built here")
pytest.importorskip("griffe", reason="griffe is not installed: the API reference cannot be made here")

from scripts.docs import api, site

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    assert site.build(folder) > 50
    return folder


def test_every_page_is_in_the_navigation(built: Path) -> None:
    draft = built / "docs"
    pages = {path.relative_to(draft).as_posix() for path in draft.rglob("*.md")}
    named = site.nav_pages()
    assert pages - set(named) == set(), "name it in zensical.toml"
    assert len(named) == len(set(named))


def test_every_public_name_has_its_place(built: Path) -> None:
    pages = api.pages()
    for line in api.SNAPSHOT.read_text(encoding="utf-8").splitlines():
        module, _, name = line.partition(": ")
        own = [module.removeprefix("vextrus_payments").lstrip(".") or "vextrus_payments"]
        files = [f"{part}.md" for part in (own if own != ["vextrus_payments"] else [*own, "errors"])]
        if not name.startswith("__"):
            assert any(name in api.names_of(pages[file]) for file in files), line


def test_what_is_said_of_a_verb_stands_where_it_is_looked_for(built: Path) -> None:
    page = (built / "site" / "api" / "vextrus_payments.html").read_text(encoding="utf-8")
    assert 'id="payments.refund"' in page and "See TenantPayments" not in page
    assert re.search(r'id="paymentrequest".*operation_id', page, re.DOTALL)


def test_docstrings_read_as_pages(built: Path) -> None:
    errors, bkash = api.pages()["errors.md"], api.pages()["gateways.bkash.md"]
    assert "```text\nPaymentsError\n├ ConfigurationError\n" in errors  # its columns stay
    assert "| `timeout_s` | `float` | `30.0` | Seconds to wait for one whole answer. |" in bkash
    assert "env_prefix` |" not in bkash and "§" not in "".join(api.pages().values())
    records = api.pages()["vextrus_payments.md"]
    assert "| `operation_id` | `str` |" in records and "| `DEBIT` | `'debit'` |" in records
    assert "@classmethod\ndef from_minor(" in records


def test_the_shops_are_there_whole(built: Path) -> None:
    page = (built / "docs" / "examples.md").read_text(encoding="utf-8")
    assert (site.ROOT / "examples" / "fastapi" / "shop.py").read_text(encoding="utf-8").strip() in page


def test_nothing_of_this_machine_is_in_it(built: Path) -> None:
    for path in (built / "site").rglob("*.html"):
        assert str(site.ROOT) not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ('<a href="nowhere.html">x</a>', "which is not there"),
        ('<a href="index.html#nowhere">x</a>', "which has no such place"),
        ('<script src="https://cdn.example/x.js"></script>', "from elsewhere"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "from elsewhere"),
        ('<img src="missing.svg">', "which is not there"),
    ],
)
def test_a_broken_link_is_noticed(tmp_path: Path, planted: str, found: str) -> None:
    (tmp_path / "index.html").write_text('<p id="here">x</p><a href="#here">ok</a>', encoding="utf-8")
    assert list(site.findings(tmp_path)) == []
    (tmp_path / "page.html").write_text(planted, encoding="utf-8")
    (problem,) = site.findings(tmp_path)
    assert found in problem


def test_zensical_itself_objects_to_a_page_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_hole(draft: Path) -> None:
        draft.mkdir()
        (draft / "index.md").write_text("# Start\n\n[gone](gone.md)\n", encoding="utf-8")

    monkeypatch.setattr(site, "assemble", with_a_hole)
    with pytest.raises(site.BuildError, match=r"gone"):
        site.build(tmp_path)
