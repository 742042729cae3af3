"""Parameter types of the command line: what they refuse, they refuse in words a person can act on."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    _NumberType = click.ParamType[int]
    _TextType = click.ParamType[str]
    _MomentType = click.ParamType[datetime]
    _DayType = click.ParamType[date]
    _DaysType = click.ParamType["Days"]

    from vextrus_payments.settlement import Days
else:
    # generic for the type checkers only, in the older releases of click
    _NumberType = _TextType = _MomentType = _DayType = _DaysType = click.ParamType

_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class GatewayName(_TextType):
    """A gateway's name; which ones there are is left to whoever looks it up, whose error names them."""

    name = "gateway"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        """The gateways that are installed."""
        from click.shell_completion import CompletionItem

        from vextrus_payments.gateways.registry import installed_gateways

        return [CompletionItem(name) for name in installed_gateways() if name.startswith(incomplete)]


class FilePath(click.Path):
    """click's path, which lets through what no file system takes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; fails where it can name no file."""
        if not str(value):
            self.fail("An empty text names no file.", param, ctx)
        if "\0" in str(value):
            self.fail(f"{value!r} can name no file: there is a NUL in it.", param, ctx)
        return super().convert(value, param, ctx)


class WholeNumber(_NumberType):
    """A whole number within bounds."""

    name = "number"

    def __init__(self, lowest: int, highest: int) -> None:
        self._lowest = lowest
        self._highest = highest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; fails with a sentence that names the bounds."""
        if isinstance(value, int):
            return value
        if _WHOLE.fullmatch(value) and self._lowest <= int(value) <= self._highest:
            return int(value)
        self.fail(f"{value!r} is no whole number from {self._lowest} to {self._highest}.", param, ctx)


_AGO: Final = re.compile(r"([0-9]{1,5})\s*(m|h|d|w)", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(_MomentType):
    """A moment in the past: "90m", "12h", "3d", "2w" ago, or an ISO date or time with its offset."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, in UTC; a date alone is its beginning in UTC."""
        if isinstance(value, datetime):
            return value
        now = datetime.now(UTC)
        ago = _AGO.fullmatch(value.strip())
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            found = None
        if found is None:
            self.fail(
                f"{value!r} is no moment: give 90m, 12h, 3d or 2w (ago), or 2026-01-31, or 2026-01-31T18:00+06:00.",
                param,
                ctx,
            )
        if found.tzinfo is None:
            if len(value) > len("2026-01-31"):
                self.fail(f"{value!r} has no zone: add an offset such as +06:00.", param, ctx)
            found = found.replace(tzinfo=UTC)
        if found > now:
            self.fail(f"{value!r} is still to come.", param, ctx)
        return found.astimezone(UTC)


_MONTH: Final = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII)


class Day(_DayType):
    """A day: 2026-01-31."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The day; fails with a sentence that shows one."""
        if isinstance(value, date):
            return value
        found = _day(value)
        if found is None:
            self.fail(f"{value!r} is no day such as 2026-01-31.", param, ctx)
        return found


class DaySpan(_DaysType):
    """Days in a row: 2026-01-31, 2026-01 or 2026-01-01..2026-01-15."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Days":
        """The days; fails with a sentence that shows some."""
        from vextrus_payments.settlement import Days

        if isinstance(value, Days):
            return value
        first, parted, last = value.partition("..")
        begin, end = _day(first), _day(last if parted else first)
        if not parted and _MONTH.fullmatch(value) and (begin := _day(f"{value}-01")) is not None:
            end = (begin + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        if begin is None or end is None or end < begin:
            self.fail(
                f"{value!r} is no span such as 2026-01, 2026-01-31 or 2026-01-01..2026-01-15.", param, ctx
            )
        return Days(begin, end)


def _day(text: str) -> date | None:
    if len(text) != len("2026-01-31"):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


DAY: Final = Day()
DAYS: Final = DaySpan()
GATEWAY: Final = GatewayName()
PORT: Final = WholeNumber(0, 65535)
WHEN: Final = Moment()
