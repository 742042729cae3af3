"""R6: kill -9 under load, five times after 10,000 answers each: every acked delivery is there, and has its effect.

`python -m tests.crashes.soak --acks` does it fifty times.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crashes.acks import campaign
from tests.crashes.places import NewStores, stores_found
from tests.crashes.supervisor import here_may_kill
from tests.services import require

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not here_may_kill(), reason="there is no kill -9 here"),
]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, NewStores]]:
    with stores_found(tmp_path_factory.mktemp("stores")) as found:
        yield found


@pytest.mark.parametrize(("store", "kills", "acks"), [("sqlite", 5, 10_000), ("postgres", 2, 2_000)])
def test_what_was_acked_is_there_and_has_its_effect(
    store: str,
    kills: int,
    acks: int,
    stores: dict[str, NewStores],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    if store not in stores:
        require(store)
    report = campaign(stores[store]()(), tmp_path, kills=kills, acks=acks)
    print(report)
    record_property("acks", str(report))
    assert report.problems == []
    assert report.kills == kills and report.acked >= kills * acks
    assert report.kept >= report.acked
    assert not report.other_answers
    assert report.in_hand_at_death, "it was killed with work in its hands"


def test_the_check_bites(stores: dict[str, NewStores], tmp_path: Path) -> None:
    """A store that says yes before it has written loses what was acked."""
    report = campaign(stores["sqlite"]()(), tmp_path, kills=1, acks=500, plant="early")
    assert any("lost" in problem for problem in report.problems), report.problems
