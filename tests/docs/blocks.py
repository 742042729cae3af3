"""The code blocks of the pages, and what says that one is not run.

A block is run unless a comment right above it says why not:

    <!-- not run: moves real money -->
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
_FENCE = re.compile(r"(?ms)^(?P<indent> *)```(?P<language>\w+)\n(?P<code>.*?)^(?P=indent)```$")
_MARKER = re.compile(r"<!-- not run: (?P<why>.*?) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    code: str
    why_not: str | None

    @property
    def name(self) -> str:
        """Its place, as an editor opens it."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every block of the page that names its language, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        marker = _MARKER.search(text, 0, match.start())
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start()) + 1,
                language=match["language"],
                code=re.sub(rf"(?m)^{match['indent']}", "", match["code"]),
                why_not=None if marker is None else marker["why"],
            )
        )
    return found


ALL = [block for page in PAGES for block in blocks(page)]
