"""What the code writes into the pages, and draws, is what the code says now; `make docs` brings it up to date."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scripts.docs import generated, pictures
from vextrus_payments.capabilities import Feature
from vextrus_payments.gateways.registry import installed_gateways, load_adapter
from vextrus_payments.records import OperationState, PaymentState
from vextrus_payments.states import OPERATION_EDGES, PAYMENT_EDGES

ROOT = Path(__file__).parents[2]


def test_pages_and_pictures_are_current() -> None:
    stale = [
        path.relative_to(ROOT).as_posix()
        for path, text in generated.wanted().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run make docs"


def test_a_page_that_tells_something_else_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "nagad.md"
    page.write_text(
        "<!-- generated: capabilities of nagad -->\nold\n<!-- end of generated -->\n", encoding="utf-8"
    )
    monkeypatch.setattr(generated, "DOCS", tmp_path)
    monkeypatch.setattr(generated, "PICTURES", tmp_path / "pictures")
    assert page in generated.write()
    assert "15 s, 45 s" in page.read_text(encoding="utf-8") and generated.write() == []


def test_every_installed_gateway_has_a_page_with_its_table_and_a_column() -> None:
    assert set(generated.GATEWAYS) == set(installed_gateways())
    for name in installed_gateways():
        page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        assert f"<!-- generated: capabilities of {name} -->" in page
        assert load_adapter(name).name == name
        assert (ROOT / "docs" / f"go-live-{name}.md").is_file()


def test_the_tables_name_every_feature() -> None:
    facts = generated.SECTIONS["capabilities compared"]()
    assert set(generated.FEATURES) == set(Feature)
    for words in generated.FEATURES.values():
        assert f"| {words} |" in facts


def test_the_pictures_show_every_state_and_every_edge() -> None:
    for name, states, edges in (
        ("payment-states.svg", PaymentState, PAYMENT_EDGES),
        ("operation-states.svg", OperationState, OPERATION_EDGES),
    ):
        root = ET.fromstring(pictures.pictures()[name])
        texts = [element.text for element in root.iter() if element.tag.endswith("text")]
        numbers = [text for text in texts if text and text.isdigit()]
        assert sorted(map(int, numbers)) == list(range(1, len(edges) + 1)), name
        assert {text for text in texts if text and not text.isdigit()} == {state.value for state in states}


def test_what_money_safety_says_of_the_edges_is_so() -> None:
    page = (ROOT / "docs" / "money-safety.md").read_text(encoding="utf-8")
    assert "out\nof `paid`" in page or "out of `paid`" in page
    assert not [edge for edge in PAYMENT_EDGES if edge[0] is PaymentState.PAID]
    assert "Edges 9 and 16 lead back to `reserved`" in page
    back = [n for n, (_, after) in enumerate(OPERATION_EDGES, start=1) if after is OperationState.RESERVED]
    assert back == [9, 16]


def test_pictures_need_nothing_from_elsewhere() -> None:
    for name, svg in pictures.pictures().items():
        found = re.findall(r"https?://[^\"' ]+", svg)
        assert found == ["http://www.w3.org/2000/svg"], name


_ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def _misread(text: str) -> list[int]:
    """Lines that a forge and the site read differently: what belongs to a list stands four columns in, and a list
    begins behind an empty line."""
    bare = re.sub(r"(?ms)^( *)```.*?^\1```", lambda block: "\n" * block[0].count("\n"), text)
    found, before, in_list = [], "", False
    for number, line in enumerate(bare.split("\n"), start=1):
        shallow = re.match(r" {1,3}(\S.*)", line)
        if shallow and (not before.strip() or _ITEM.match(shallow[1])):
            found.append(number)
        if _ITEM.match(line) and before.strip() and not in_list:
            found.append(number)
        in_list = bool(_ITEM.match(line)) or (in_list and bool(line.strip()))
        before = line
    return found


def test_lists_read_the_same_on_a_forge_and_on_the_site() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "examples" / "README.md", ROOT / "SECURITY.md"]
    assert {str(page): found for page in pages if (found := _misread(page.read_text("utf-8")))} == {}
    assert _misread("text\n- item\n") == [2]
    assert _misread("1. item\n\n   its second paragraph\n") == [3]
    assert _misread("- item\n  - below\n") == [2]
    assert _misread("- item that goes\n  on\n- next\n\n    its own\n") == []
