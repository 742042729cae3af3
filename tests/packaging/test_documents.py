"""The pages: every relative link leads somewhere, and they claim only the Pythons that are declared."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.packaging.distribution import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changelog.d").glob("README.md")]
)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        led = (page.parent / name).resolve() if name else page
        if led.parent == ROOT / "docs" / "api":
            continue  # made from the docstrings when the site is built, which looks at these links
        assert led.exists(), f"{page.name} links to {target}"
        if anchor and led.suffix == ".md":
            headings = re.findall(r"(?m)^#+ (.+)$", led.read_text(encoding="utf-8"))
            assert anchor in map(_anchor, headings), f"{page.name} links to {target}"


def test_pages_claim_only_pythons_that_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = set(re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"])))
    for page in (ROOT / "README.md", ROOT / "docs" / "versioning.md"):
        claimed = set(re.findall(r"\b(3\.1\d)\b", page.read_text(encoding="utf-8")))
        assert claimed <= declared, page.name


def test_pages_that_the_code_names_are_there() -> None:
    for folder in ("src", "sandbox", "scripts", "tests", "examples", "bench"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8")):
                assert (ROOT / name).is_file(), f"{path.relative_to(ROOT)} names {name}"
