"""kill -9 of a real process at six marked points, on each store: nothing lost, nothing doubled, nobody charged twice.

`python -m tests.crashes.soak` does the same for as long as one likes.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crashes.places import NewStores, stores_found
from tests.crashes.points import MOMENTS, Point
from tests.crashes.supervisor import (
    Campaign,
    Orders,
    Report,
    Sandbox,
    Zygote,
    here_may_kill,
    sandbox_running,
    zygote_running,
)
from tests.services import require

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not here_may_kill(), reason="there is no kill -9 here"),
]

KILLS = 5
STORES = ("sqlite", "postgres")


@pytest.fixture(scope="module")
def ground() -> Iterator[tuple[Zygote, Sandbox, Orders, ThreadPoolExecutor]]:
    """Where the kills of this module happen, several side by side: most of their time is waiting."""
    with zygote_running() as zygote, sandbox_running() as sandbox, ThreadPoolExecutor(12) as pool:
        yield zygote, sandbox, Orders(), pool


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, NewStores]]:
    """How to get one empty store after the other, of each kind; no PostgreSQL where this machine has none."""
    with stores_found(tmp_path_factory.mktemp("stores")) as found:
        yield found


@pytest.fixture(scope="module")
def campaigns(
    request: pytest.FixtureRequest,
    ground: tuple[Zygote, Sandbox, Orders, ThreadPoolExecutor],
    stores: dict[str, NewStores],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[Point, str], "Future[Report]"]:
    """All that were selected, begun at once."""
    zygote, sandbox, orders, pool = ground
    folder = tmp_path_factory.mktemp("crashes")
    wanted = [
        (item.callspec.params["point"], item.callspec.params["store"])
        for item in request.session.items
        if getattr(item, "originalname", "") == "test_killed_there_and_nothing_is_lost_or_doubled"
    ]
    campaign = Campaign(zygote, sandbox, orders, folder)
    return {
        (point, store): pool.submit(campaign.run, point, store, stores[store](), KILLS)
        for point, store in wanted
        if store in stores
    }


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.value)
def test_killed_there_and_nothing_is_lost_or_doubled(
    point: Point,
    store: str,
    campaigns: dict[tuple[Point, str], "Future[Report]"],
    record_property: Callable[[str, object], None],
) -> None:
    if (point, store) not in campaigns:
        require(store)
    report = campaigns[point, store].result()
    print(report)
    record_property("crashes", str(report))
    assert report.problems == []
    assert report.kills == KILLS
    # Only where a refund may have left, and the gateway's list does not show it, is there nothing a program can do.
    assert bool(report.unknown) == (point is Point.BASELINE_REFUND)


@pytest.mark.parametrize(
    ("plant", "point", "seen"),
    [
        ("ack_first", Point.COMMIT_LEDGER, "lost"),
        ("fresh_ids", Point.LEDGER_DELIVERED, "doubled"),
        ("charge_again", Point.ANSWER_RECORD, "double charge"),
        ("refund_again", Point.LEDGER_DELIVERED, "refunded twice"),
    ],
)
def test_the_checker_bites(
    plant: str,
    point: Point,
    seen: str,
    ground: tuple[Zygote, Sandbox, Orders, ThreadPoolExecutor],
    stores: dict[str, NewStores],
    tmp_path: Path,
) -> None:
    zygote, sandbox, orders, _ = ground
    report = Campaign(zygote, sandbox, orders, tmp_path, plant=plant).run(
        point, "sqlite", stores["sqlite"](), 2
    )
    assert any(seen in problem for problem in report.problems), report.problems


def test_every_point_has_moments() -> None:
    assert set(MOMENTS) == set(Point)
