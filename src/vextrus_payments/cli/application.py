"""The application a command works for: `--app shop.payments:payments`, or VEXTRUS_PAY_APP.

The name is a module and an attribute of it (dots lead further in), which is the shop's own `Payments`, or a function
without arguments that gives it. So a command has the shop's store, gateways, ledger and policies, and nothing of them
is said twice.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vextrus_payments.errors import ConfigurationError, InvalidRequestError

if TYPE_CHECKING:
    from vextrus_payments.app import Payments

APP_VARIABLE: Final = "VEXTRUS_PAY_APP"
APP_HELP: Final = (
    f"The shop's Payments as module:attribute, such as shop.payments:payments; else {APP_VARIABLE}."
)


def app_name(given: str | None) -> str | None:
    """The application that was named, on the command line or in the environment; None: none was.

    Raises:
        ConfigurationError: it was named by nothing, as by a shell's variable that is not set: another one's store and
            credentials are not what was meant.
    """
    if given is not None and not given.strip():
        raise ConfigurationError(
            "--app was given, and is empty.",
            code="app",
            next_step="Name the application, or leave --app out.",
        )
    return given or os.environ.get(APP_VARIABLE) or None


def is_in_charge(given: str | None, *, store: str | None, sandbox: str | None) -> bool:
    """Whether a command works for the application: with its store, its tenants and its gateways.

    A store or sandbox that is typed counts for more than an application that only the environment names; beside one
    that is typed, one of the two would be ignored.

    Args:
        given: what `--app` said.
        store: what `--store` said.
        sandbox: what `--sandbox` said.

    Raises:
        InvalidRequestError: `--store` or `--sandbox` beside `--app`.
        ConfigurationError: the application is named by nothing.
    """
    name = app_name(given)
    for option, typed, what in (("--store", store, "a store"), ("--sandbox", sandbox, "gateways")):
        if given is not None and typed is not None:
            raise InvalidRequestError(
                f"An application has {what} of its own: give --app or {option}, not both. Nothing was sent.",
                field=option,
                rule="not beside --app",
            )
    return name is not None and store is None and sandbox is None


def load_app(name: str) -> "Payments":
    """The `Payments` of this name. Imports the shop's module; opens nothing.

    Raises:
        ConfigurationError: the name leads to no Payments; it says at which part.
    """
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise _wrong(
            f"{name!r} names no attribute.", "Name it as module:attribute, such as shop.payments:payments."
        )
    found = _imported(module_name)
    for part in path.split("."):
        if not hasattr(found, part):
            raise _wrong(
                f"{module_name} has no {path}.", "Name the attribute that holds the shop's Payments."
            )
        found = getattr(found, part)
    return _payments_of(found, name)


def required_app(given: str | None, what_for: str) -> "Payments":
    """The application, for a command that cannot do without.

    Raises:
        ConfigurationError: none was named, or it cannot be loaded.
    """
    name = app_name(given)
    if name is None:
        raise ConfigurationError(
            f"{what_for} needs the shop's own settings (store, gateways, policies), and no application was named.",
            code="app_missing",
            next_step=f"Give --app shop.payments:payments, or set {APP_VARIABLE}.",
        )
    return load_app(name)


@asynccontextmanager
async def opened(payments: "Payments") -> AsyncIterator["Payments"]:
    """The application, open and without workers of its own: a command does what it was asked, and no more."""
    await payments.open(workers=False)
    try:
        yield payments
    finally:
        await payments.aclose()


def _imported(module_name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` has it, so that a shop need not be installed
    problem = ""
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        problem = f"There is no module {missing}" + (
            "." if missing == module_name else f", which {module_name} imports."
        )
    except Exception as error:  # noqa: BLE001 - a shop's module may raise anything, and its text may quote a secret
        problem = f"{module_name} raised {type(error).__name__} while it was imported."
    raise _wrong(problem, "Run it where the shop runs; VEXTRUS_PAY_DEBUG=1 shows where it happened.")


def _payments_of(found: Any, name: str) -> "Payments":
    from vextrus_payments.app import Payments

    if callable(found) and not isinstance(found, type):
        problem = ""
        try:
            found = found()
        except Exception as error:  # noqa: BLE001 - as above
            problem = f"{name} raised {type(error).__name__}."
        if problem:
            raise _wrong(problem, "VEXTRUS_PAY_DEBUG=1 shows where it happened.")
    if "vextrus_payments.sync" in sys.modules:  # a shop that has the blocking facade has imported it
        from vextrus_payments.sync import facade

        if isinstance(found, facade.Payments):
            found = facade.behind(found)
    if not isinstance(found, Payments):
        raise _wrong(
            f"{name} is of the type {type(found).__name__}, and no Payments.",
            "Name the attribute that holds the shop's Payments, async or blocking, or a function that gives it.",
        )
    return found


def _wrong(what: str, next_step: str) -> ConfigurationError:
    return ConfigurationError(what, code="app", next_step=next_step)
