"""Commands that explain themselves: each with examples, and with a help page of one look.

Examples are data, so that the tests can run them. This file needs click alone: a help page is shown without rich.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from vextrus_payments.cli.output import in_color

#: (the command line as it is typed, what it does).
Example = tuple[str, str]

PROGRAM: Final = "vextrus-pay"
#: A shell sets it to ask for completions; click looks for it under this name.
COMPLETION_VARIABLE: Final = "_VEXTRUS_PAY_COMPLETE"

_SENTENCE: Final = 200
"""More than any first sentence has: click's own limit is what fits into one line."""

_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_CYAN: Final = "\x1b[36m"
_PLAIN: Final = "\x1b[0m"


class InterruptedCommand(KeyboardInterrupt):
    """Ctrl+C, and whether the command it ended is one that moves money."""

    def __init__(self, *, moves_money: bool) -> None:
        super().__init__()
        self.moves_money = moves_money


class ReaderGoneError(BrokenPipeError):
    """Nobody reads the output any more (``vextrus-pay explain INV-1 | head -1``), and whether the command whose output
    it was is one that moves money."""

    def __init__(self, *, moves_money: bool) -> None:
        super().__init__()
        self.moves_money = moves_money


class Formatter(click.HelpFormatter):
    """click's help page: headings stand out, and what is typed is colored. Colors go out to a terminal alone."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._colored = in_color(sys.stdout)

    def write_heading(self, heading: str) -> None:
        """As click has it, bold."""
        self.write(f"{'':>{self.current_indent}}{self._in(_BOLD, f'{heading}:')}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """As click has it, with what is typed in color."""
        super().write_dl([(self._in(_CYAN, first), second) for first, second in rows], col_max, col_spacing)

    def write_examples(self, examples: Sequence[Example]) -> None:
        """Each example below the sentence that explains it; command lines are not wrapped, so they can be copied."""
        with self.section("Examples"):
            for number, (command, what) in enumerate(examples):
                if number:
                    self.write_paragraph()
                space = " " * self.current_indent
                if what:
                    self.write(f"{space}{self._in(_DIM, f'# {what}')}\n")
                lines = command.split("\n")
                self.write("".join(f"{space}{self._in(_CYAN, each)}\n" for each in lines))

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._colored else text


class Context(click.Context):
    """A context whose help page is ours."""

    formatter_class: type[click.HelpFormatter] = Formatter


class _Explained(click.Command):
    """What commands and groups have in common."""

    context_class: type[click.Context] = Context

    def __init__(
        self, *args: Any, examples: Sequence[Example] = (), moves_money: bool = False, **named: Any
    ) -> None:
        super().__init__(*args, **named)
        self.examples: tuple[Example, ...] = tuple(examples)
        self.moves_money = moves_money

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, then what else was to be said."""
        if self.examples and isinstance(formatter, Formatter):
            formatter.write_examples(self.examples)
        super().format_epilog(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click has it; a usage error names its command."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run it. A usage error that it finds itself names its command; Ctrl+C, and a reader who went away, say if
        money could have moved."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()  # here, where it is known whose output has no reader
            return code
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        except (InterruptedCommand, ReaderGoneError):
            raise
        except KeyboardInterrupt:
            gone = False  # raised again outside, so that nothing of it hangs on the interruption
        except BrokenPipeError:
            gone = True
        if gone:
            raise ReaderGoneError(moves_money=self.moves_money)
        raise InterruptedCommand(moves_money=self.moves_money)


class Command(_Explained):
    """A command with examples.

    Args:
        examples: (command line, what it does), in the order in which somebody learns it.
        moves_money: whether it sends what can move money, so that an interruption of it leaves a question.
        (and those of click.Command)
    """


class Group(_Explained, click.Group):
    """A group of commands, with examples of its own. Alone it shows its help page, and that is no error."""

    command_class: type[click.Command] | None = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click has it, but for a group without a command."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its whole first sentence, where click would cut it off at the end of a line."""
        named = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [
            (name, command.get_short_help_str(limit=_SENTENCE))
            for name, command in named
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
