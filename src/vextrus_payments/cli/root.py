"""The root command: which commands there are, each imported only when it is called."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from vextrus_payments.cli.exit_codes import MEANINGS, Exit
from vextrus_payments.cli.extension import ABSENT, Extension, missing_extra, sandbox_extension
from vextrus_payments.cli.helping import Group

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _Own(NamedTuple):
    module: str
    summary: str


_OWN: Final[Mapping[str, _Own]] = {
    "pay": _Own(
        "vextrus_payments.cli.pay", "Take one payment: through a sandbox, or with your own credentials."
    ),
    "status": _Own("vextrus_payments.cli.status", "Look a payment up."),
    "refund": _Own("vextrus_payments.cli.refund", "Give money of a payment back."),
    "explain": _Own("vextrus_payments.cli.explain", "Tell the whole story of one payment."),
    "reconcile": _Own("vextrus_payments.cli.reconcile", "Ask the gateways about what is open."),
    "payout": _Own("vextrus_payments.cli.payout", "Send money away, once; say what became of it."),
    "agreement": _Own(
        "vextrus_payments.cli.agreement", "Look at payers' agreements and subscriptions, and end them."
    ),
    "balance": _Own("vextrus_payments.cli.holdings", "What a gateway holds for the merchant."),
    "resolve": _Own("vextrus_payments.cli.resolve", "Say by hand how something ended that no gateway tells."),
    "migrate": _Own("vextrus_payments.cli.migrate", "Make the store's tables, or bring them up to date."),
    "worker": _Own(
        "vextrus_payments.cli.worker", "Hand entries and news over, and reconcile, in the background."
    ),
    "outbox": _Own(
        "vextrus_payments.cli.outbox", "Look at what waits to be handed over; retry what was set aside."
    ),
    "webhooks": _Own(
        "vextrus_payments.cli.webhooks", "Look at what gateways sent; replay it, forward it, check it."
    ),
    "doctor": _Own("vextrus_payments.cli.doctor", "See whether everything is as it should be."),
    "bkash": _Own(
        "vextrus_payments.cli.bkash", "What bKash alone asks for: the report of its test scenarios."
    ),
    "urls": _Own(
        "vextrus_payments.cli.urls", "Print the addresses of the doors, and where to register which."
    ),
    "settle": _Own("vextrus_payments.cli.settle", "Hold a gateway's statement against our receipts."),
    "ledger": _Own("vextrus_payments.cli.ledger", "Hold the ledger against the gateway's books."),
    "completion": _Own("vextrus_payments.cli.completion", "Let your shell complete commands and options."),
}


class NoSuchCommandError(click.UsageError):
    """A command that does not exist, and the one that was probably meant."""

    def __init__(self, message: str, ctx: click.Context, near: str | None) -> None:
        super().__init__(message, ctx)
        self.near = near


class RootGroup(Group):
    """Lists every command without importing it; a command whose packages are missing says so."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._summaries()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OWN:
            command = import_module(_OWN[cmd_name].module).command
            assert isinstance(command, click.Command)
            return command
        extension = sandbox_extension()
        if cmd_name not in (extension.summaries if extension else ABSENT):
            return None
        if extension is None or extension.missing():
            return _placeholder(cmd_name, extension)
        return extension.load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = next(iter(get_close_matches(args[0], self.list_commands(ctx), n=1)), None)
            others = "" if near else f" Commands: {', '.join(self.list_commands(ctx))}."
            raise NoSuchCommandError(f"there is no command {args[0]!r}.{others}", ctx, near)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """The commands by name. click would import every one of them to ask whether it is hidden."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(name, help=summary)
            for name, summary in self._summaries().items()
            if name.startswith(incomplete)
        ]

    @staticmethod
    def _summaries() -> dict[str, str]:
        extension = sandbox_extension()
        others = extension.summaries if extension else ABSENT
        return {**others, **{name: own.summary for name, own in _OWN.items()}}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        extension = sandbox_extension()
        note = ""
        if extension is None or extension.missing():
            note = f' (needs: pip install "vextrus-payments[{extension.extra if extension else "sandbox"}]")'
        rows = [(name, line + ("" if name in _OWN else note)) for name, line in self._summaries().items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), what) for code, what in MEANINGS.items()])


def _placeholder(name: str, extension: Extension | None) -> click.Command:
    """A command that takes whatever it is given and says which extra it needs."""

    def refuse(**_: Any) -> int:
        raise missing_extra(f"vextrus-pay {name}", extension)

    summary = (extension.summaries if extension else ABSENT)[name]
    extra = extension.extra if extension else "sandbox"
    return click.Command(
        name,
        callback=refuse,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        help=f'{summary}\n\nNot installed here. Install it: pip install "vextrus-payments[{extra}]"',
        context_settings={"ignore_unknown_options": True},
    )


def _show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    try:
        click.echo(f"vextrus-pay {version('vextrus-payments')}")
    except PackageNotFoundError:
        click.echo("vextrus-pay (not installed: run from its source)")
    ctx.exit(Exit.DONE)


@click.group(
    cls=RootGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    examples=(
        ("vextrus-pay demo", "see one payment and a refund, from the first call to the last posting"),
        ("vextrus-pay sandbox serve", "a sandbox to try your own code with, until Ctrl+C"),
        (
            "vextrus-pay pay bkash --amount 100 --reference INV-1 --approve",
            "one payment in a sandbox of its own",
        ),
        (
            "vextrus-pay explain INV-8812 --app shop.payments:payments",
            "the whole story of one invoice's payments",
        ),
        ("vextrus-pay doctor --app shop.payments:payments", "is everything as it should be?"),
    ),
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
@click.pass_context
def root(ctx: click.Context) -> None:
    """Payments through Bangladesh's gateways, from the command line.

    Secrets are read from the environment (BKASH_APP_KEY ..., or a file that BKASH_APP_KEY_FILE names), never from
    the command line. Without any, `demo` and `pay` use a local sandbox, where no real money exists.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
