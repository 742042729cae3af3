"""What the dashboard's forms do. Each ends in a redirect (303), so that a reload repeats nothing.

A form whose wish cannot be carried out shows its page again, with the reason and what was typed.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox.dashboard import reading
from vextrus_payments_sandbox.dashboard.controls import Controls
from vextrus_payments_sandbox.dashboard.dial import UNTOUCHED
from vextrus_payments_sandbox.dashboard.views import Views
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.faults import ALWAYS, FaultPlans
from vextrus_payments_sandbox.hosted import form_of, see_other
from vextrus_payments_sandbox.notation import to_paisa
from vextrus_payments_sandbox.world import CUSTOMER, SandboxError, World

_PAYER_ACTS: Final = frozenset({"success", "cancel", "failure"})
_PORTAL_ACTS: Final = frozenset({"refund", "capture", "void"})
_NOTES: Final[Mapping[str, str]] = {
    "success": "The sandbox pays as the payer",
    "cancel": "The sandbox leaves as the payer",
    "failure": "The sandbox fails as the payer",
    "refund": "A refund in the gateway's portal",
    "capture": "A capture in the gateway's portal",
    "void": "A void in the gateway's portal",
}
_WHOLE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_DECIMAL: Final = re.compile(r"[0-9]{0,3}(\.[0-9]{1,6})?", re.ASCII)
_TOO_LONG: Final = "The form is too long. Nothing was done."


class Actions:
    """The forms of the dashboard."""

    def __init__(
        self, world: World, faults: FaultPlans, courier: Courier, views: Views, controls: Controls
    ) -> None:
        self._world = world
        self._faults = faults
        self._courier = courier
        self._views = views
        self._controls = controls

    async def payment(self, request: Request) -> Response:
        """Play the payer or the merchant in the portal, as the button says."""
        name, reference = request.path_params["gateway"], request.path_params["reference"]
        gateway = self._world.gateways.get(name)
        form = await form_of(request)
        if gateway is None or gateway.row(reference) is None:
            return self._views.payment(request)
        if form is None:
            return self._views.payment(request, wrong=_TOO_LONG, status=413)
        act = form.get("act", "")
        try:
            with self._noted(_NOTES.get(act, "An unknown button"), name, reference):
                if act in _PAYER_ACTS:
                    gateway.approve(reference, act, form.get("wallet", "").strip() or None)
                elif act in _PORTAL_ACTS:
                    gateway.portal(reference, act, form.get("amount", "").strip() or None)
                else:
                    raise SandboxError("this form has no such button")
        except SandboxError as refused:
            return self._views.payment(request, wrong=_sentence(refused), status=refused.status)
        await self._courier.leave()
        return see_other(reading.payment_path(name, reference) + f"?told={act}")

    async def wallet(self, request: Request) -> Response:
        """Set a wallet's balance."""
        number = request.path_params["number"]
        form = await form_of(request)
        typed = (form or {}).get("balance", "").strip()
        try:
            with self._noted("A wallet's balance was set"):
                if form is None:
                    raise SandboxError("the form is too long", 413)
                wanted = to_paisa(typed.replace(",", ""))
                if wanted is None:
                    raise SandboxError('a balance is taka with up to two decimals, such as "500.00"')
                self._world.set_balance(number, wanted)
        except SandboxError as refused:
            wrong = f"{_sentence(refused)} The balance is as it was."
            return self._controls.wallets(
                request, wrong=wrong, status=refused.status, typed_for=number, typed=typed[:15]
            )
        return see_other("/wallets?told=balance")

    async def faults(self, request: Request) -> Response:
        """Order a fault, withdraw one, or clear them all."""
        form = await form_of(request)
        if form is None:
            return self._controls.faults(request, wrong=_TOO_LONG, status=413)
        try:
            if form.get("clear"):
                with self._noted("Faults were called off"):
                    self._faults.clear()
                return see_other("/faults?told=cleared")
            if "withdraw" in form:
                with self._noted("A fault was called off"):
                    self._faults.cancel(_whole(form["withdraw"], "the fault's number"))
                return see_other("/faults?told=withdrawn")
            with self._noted("A fault was ordered"):
                operations = {name: gateway.operations for name, gateway in self._world.gateways.items()}
                self._faults.order(_ordered(form), operations)
        except SandboxError as refused:
            typed = {name: form.get(name, usual)[:40] for name, usual in UNTOUCHED.items()}
            return self._controls.faults(
                request, wrong=_sentence(refused), status=refused.status, typed=typed
            )
        return see_other("/faults?told=ordered")

    async def webhooks(self, request: Request) -> Response:
        """Tell an endpoint from now on, or nobody any more."""
        name = request.path_params["gateway"]
        form = await form_of(request)
        if form is None:
            return self._controls.webhooks(request, wrong=_TOO_LONG, status=413)
        url = form.get("url", "").strip()
        try:
            if form.get("stop"):
                with self._noted("A webhook's endpoint was dropped"):
                    await self._courier.unsubscribe(name)
                return see_other("/webhooks?told=stopped")
            asked_at = str(request.base_url).rstrip("/")
            with self._noted("A webhook's endpoint was named"):
                await self._courier.subscribe(name, url, version=form.get("version", "1"), asked_at=asked_at)
        except SandboxError as refused:
            return self._controls.webhooks(
                request, wrong=_sentence(refused), status=refused.status, typed_for=name, typed=url[:2_048]
            )
        return see_other("/webhooks?told=asked")

    async def walk_in(self, request: Request) -> Response:
        """Let a payer pay past the API: the merchant learns it from the webhook alone."""
        name = request.path_params["gateway"]
        form = await form_of(request)
        if form is None:
            return self._controls.webhooks(request, wrong=_TOO_LONG, status=413)
        typed, gateway = form.get("amount", "").strip(), self._world.gateways.get(name)
        try:
            with self._noted("A payer paid without the API", name if gateway else ""):
                if gateway is None:
                    raise SandboxError("there is no such gateway", 404)
                gateway.walk_in(typed, "qr", CUSTOMER["wallet"], "")
        except SandboxError as refused:
            return self._controls.webhooks(
                request, wrong=_sentence(refused), status=refused.status, walked_for=name, typed=typed[:15]
            )
        await self._courier.leave()
        return see_other("/webhooks?told=walk_in")

    async def time(self, request: Request) -> Response:
        """Move the sandbox's time forward."""
        form = await form_of(request) or {}
        try:
            with self._noted("The clock was moved"):
                self._world.clock.advance(_whole(form.get("advance_s", ""), "the number of seconds"))
        except SandboxError as refused:
            return self._controls.start(request, wrong=_sentence(refused), status=refused.status)
        return see_other("/start?told=time")

    async def reset(self, request: Request) -> Response:
        """Start over, once it is said that this is meant."""
        form = await form_of(request) or {}
        if form.get("sure") != "yes":
            wrong = "Tick the box first: a reset forgets everything. Nothing was done."
            return self._controls.start(request, wrong=wrong, status=400)
        self._world.reset()
        self._faults.reset()
        self._courier.reset()
        with self._noted("The sandbox started over"):  # behind the reset, which forgets
            return see_other("/start?told=reset")

    @contextmanager
    def _noted(self, title: str, gateway: str = "", reference: str = "") -> Iterator[None]:
        """Tell the record of what is done, before what it causes, and whether it was refused."""
        entry = self._world.record.add("admin", gateway, reference, title, by="the dashboard")
        try:
            yield
        except SandboxError as refused:
            self._world.record.change(entry, title=f"{title}: refused", why=str(refused))
            raise


def _sentence(refused: SandboxError) -> str:
    """A refusal as people read it."""
    text = str(refused)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def _whole(text: str, what: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise SandboxError(f"{what} is a whole number")
    return int(text)


def _ordered(form: Mapping[str, str]) -> dict[str, Any]:
    """The wish of the dial's form, as the admin API takes it. Raises :class:`SandboxError`."""
    given = {name: form.get(name, "").strip() for name in UNTOUCHED}
    gateway, _, operation = given["call"].partition(" ")
    options = "".join(f";{name}={given[name]}" for name in ("seconds", "code", "status") if given[name])
    order: dict[str, Any] = {"gateway": gateway, "operation": operation, "fault": given["fault"] + options}
    times = given["times"].lower() or "1"
    order["times"] = ALWAYS if times == ALWAYS else _whole(times, "how often")
    if given["chance"]:
        if not _DECIMAL.fullmatch(given["chance"]):
            raise SandboxError("the chance is a number above 0, up to 1, such as 0.25")
        order["chance"] = float(given["chance"])  # a likelihood, no money
    if given["seed"]:
        order["seed"] = _whole(given["seed"], "the seed")
    return order
