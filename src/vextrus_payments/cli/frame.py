"""The frame around every command: arguments in, exit code out, and no traceback on the way.

An error is one clear line on stderr: what happened, whether money moved, what to do next. With `--json` it is also one
JSON document `{"type": "error", "error": {type, code, effect, what, next_step, ..., exit_code}}` on stdout.
`VEXTRUS_PAY_DEBUG=1` shows tracebacks.
"""

import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

import click

from vextrus_payments.cli.exit_codes import Exit, of_error
from vextrus_payments.cli.helping import COMPLETION_VARIABLE, PROGRAM, InterruptedCommand, ReaderGoneError
from vextrus_payments.cli.output import emit_json, one_line, prepare_streams, say
from vextrus_payments.cli.root import NoSuchCommandError, root
from vextrus_payments.errors import (
    AlreadyPaidError,
    CurrencyNotSupportedError,
    Effect,
    InvalidRequestError,
    PaymentsError,
    ThrottledError,
)

#: Fields of the SDK's requests -> what the user typed.
_OPTIONS: Final[Mapping[str, str]] = {
    "amount": "--amount",
    "currency": "--currency",
    "gateway": "gateway",
    "gateway_order_id": "--gateway-order-id",
    "gateway_reference": "--gateway-reference",
    "intent": "--intent",
    "merchant_reference": "--reference",
    "operation_id": "--operation-id",
    "payment_id": "PAYMENT_ID",
    "reason": "--reason",
    "receiver": "RECEIVER",
    "reference": "--reference",
    "sku": "--sku",
    "transaction_id": "--transaction-id",
}
_ABOUT_THE_OTHER: Final = (
    "Look at the other payment: vextrus-pay status {}. "
    "To charge the reference again on purpose: --allow-repeat"
)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    prepare_streams()
    # `sandbox serve --json` promises one line once it accepts connections, and nothing else.
    as_json = "--json" in arguments and arguments[:2] != ["sandbox", "serve"]
    try:
        code = _call(arguments)
        sys.stdout.flush()
        return int(code or Exit.DONE)
    except (click.Abort, KeyboardInterrupt, EOFError) as error:
        moves_money = isinstance(error, InterruptedCommand) and error.moves_money
        return interrupted(moves_money=moves_money, as_json=as_json)
    except click.ClickException as error:
        return _fail_usage(error, as_json=as_json)
    except PaymentsError as error:
        return fail(error, as_json=as_json)
    except BrokenPipeError as error:
        return _reader_gone(moves_money=not isinstance(error, ReaderGoneError) or error.moves_money)
    except Exception as error:  # noqa: BLE001 - the outermost frame: a bug is one line too, and an honest code
        return _fail_unexpected(error, as_json=as_json)


def _call(arguments: list[str]) -> int | None:
    """Run the command; what click itself would make of an error is left to `run`."""
    if COMPLETION_VARIABLE in os.environ:
        return _complete(arguments)
    try:
        with root.make_context(PROGRAM, list(arguments)) as context:
            code: int | None = root.invoke(context)
            return code
    except click.exceptions.Exit as left:
        return left.exit_code


def _complete(arguments: list[str]) -> int:
    """A shell asks for completions, in the middle of somebody's line: nothing else may be written there."""
    try:
        root.main(args=arguments, prog_name=PROGRAM)  # click answers and exits
    except Exception:
        if os.environ.get("VEXTRUS_PAY_DEBUG") == "1":
            raise
    return Exit.USAGE


def fail(error: PaymentsError, *, as_json: bool) -> int:
    """Show an error of the SDK and give its exit code."""
    line = error_line(error)
    return _fail(of_error(error), line, error_document(error), as_json=as_json)


def interrupted(
    what: str = "Interrupted.", *, moves_money: bool, next_step: str = "", as_json: bool, **about: str
) -> int:
    """Say that somebody stopped the command, in the words of every other error. Gives its exit code.

    Args:
        moves_money: whether it may have moved money before.
        next_step: what to do now; without one, where to look.
        about: more for the document: payment_id.
    """
    effect = Effect.UNKNOWN if moves_money else Effect.NONE
    if not next_step:
        next_step = "What was sent is recorded: look before you repeat." if moves_money else ""
    document = {
        "type": "Interrupted",
        "code": "interrupted",
        "effect": effect.value,
        "what": what,
        "next_step": next_step,
        **about,
    }
    return _fail(Exit.INTERRUPTED, _sentences(what, effect, next_step), document, as_json=as_json)


def _sentences(what: str, effect: Effect, next_step: str) -> str:
    """What happened, whether money moved, what to do next: as the SDK's errors have it."""
    return str(PaymentsError(what, effect=effect, next_step=next_step)).rstrip()


def error_line(error: PaymentsError) -> str:
    """The error's own sentences, led by the option they are about: once, and as it was typed."""
    if isinstance(error, AlreadyPaidError) and error.other_payment_id:
        error.next_step = _ABOUT_THE_OTHER.format(error.other_payment_id)  # in the words of a command line
    option = _option_of(error)
    if option is None:
        return str(error)
    field = error.field if isinstance(error, InvalidRequestError) else None
    return f"{option}: {str(error).removeprefix(f'{field} ')}"


def error_document(error: PaymentsError) -> dict[str, Any]:
    """An error of the SDK as JSON: its class, code, effect, sentences and what it was about."""
    document: dict[str, Any] = {
        "type": type(error).__name__,
        "code": error.code,
        "effect": error.effect.value,
        "what": error.what,
        "next_step": error.next_step,
    }
    about = {
        "option": _option_of(error),
        "rule": error.rule if isinstance(error, InvalidRequestError) else None,
        "gateway": error.gateway,
        "payment_id": error.payment_id,
        "other_payment_id": getattr(error, "other_payment_id", None),
        "operation_id": error.operation_id,
        "retry_after_s": error.retry_after_s if isinstance(error, ThrottledError) else None,
    }
    return document | {name: value for name, value in about.items() if value is not None}


def _option_of(error: PaymentsError) -> str | None:
    field = error.field if isinstance(error, InvalidRequestError) else None
    if isinstance(error, CurrencyNotSupportedError):
        field = "currency"
    return None if field is None else _OPTIONS.get(field, field)


def _fail(code: int, line: str, document: Mapping[str, Any], *, as_json: bool) -> int:
    if os.environ.get("VEXTRUS_PAY_DEBUG") == "1" and sys.exc_info()[1] is not None:
        traceback.print_exc()
    say(f"Error: {line}")
    if as_json:
        try:
            emit_json({"type": "error", "error": {**document, "exit_code": int(code)}})
        except BrokenPipeError:
            _silence_stdout()
    return int(code)


def _fail_usage(error: click.ClickException, *, as_json: bool) -> int:
    option, sentence, near = _usage(error)
    what = one_line(f"{option}: {sentence}" if option else sentence)
    what += "" if what.endswith((".", "!", "?")) else "."
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else PROGRAM
    next_step = f"Did you mean {near}?" if near else f"See {where} --help."
    document = {
        "type": "UsageError",
        "code": "usage",
        "effect": Effect.NONE.value,
        "what": one_line(sentence),
        "next_step": next_step,
    }
    if option:
        document["option"] = option
    return _fail(Exit.USAGE, _sentences(what, Effect.NONE, next_step), document, as_json=as_json)


def _usage(error: click.ClickException) -> tuple[str | None, str, str | None]:
    """(what it is about, one sentence, what was probably meant) of a usage error."""
    if isinstance(error, NoSuchCommandError):
        return None, error.message, error.near
    if isinstance(error, click.MissingParameter):
        choices = getattr(getattr(error.param, "type", None), "choices", None)
        among = f" one of {', '.join(map(str, choices))}" if choices else ""
        return _name_of(error.param), f"is missing; give{among or ' a value'}.", None
    if isinstance(error, click.BadParameter):
        hint = error.param_hint if isinstance(error.param_hint, str) else None
        return hint or _name_of(error.param), error.message, None
    if isinstance(error, click.NoSuchOption):
        return error.option_name, "there is no such option.", next(iter(error.possibilities or ()), None)
    if isinstance(error, click.BadOptionUsage):
        about_it = error.message.replace(f"Option '{error.option_name}' ", "this option ")
        return error.option_name, about_it, None
    return None, error.format_message(), None


def _name_of(parameter: click.Parameter | None) -> str | None:
    if parameter is None:
        return None
    if isinstance(parameter, click.Option):
        return next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0])
    return getattr(parameter, "metavar", None) or (parameter.name or "argument").upper()


def _fail_unexpected(error: Exception, *, as_json: bool) -> int:
    # Its message may quote anything, so it is not shown; its type tells where to look.
    kind = type(error).__name__
    what = f"Something unforeseen went wrong ({kind}); this is a bug of {PROGRAM}."
    next_step = "Look before you repeat. VEXTRUS_PAY_DEBUG=1 shows where it happened."
    effect = Effect.UNKNOWN
    document = {"type": kind, "code": "bug", "effect": effect.value, "what": what, "next_step": next_step}
    return _fail(Exit.OPEN, _sentences(what, effect, next_step), document, as_json=as_json)


def _reader_gone(*, moves_money: bool) -> int:
    _silence_stdout()
    what = "The program that read this output went away before its end."
    effect = Effect.UNKNOWN if moves_money else Effect.NONE
    next_step = "What was done is recorded: look before you repeat." if moves_money else ""
    say(f"Error: {_sentences(what, effect, next_step)}")
    return int(Exit.OPEN)


def _silence_stdout() -> None:
    """What is still buffered has no reader: let the interpreter's last flush go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
