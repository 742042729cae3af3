"""A merchant's payouts: their own root, credentials, token, budget and breaker beside those of his payments."""

from typing import TYPE_CHECKING, Final, TypeVar

from vextrus_payments.breaker import Breaker
from vextrus_payments.capabilities import Feature
from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.errors import (
    AuthenticationRejectedError,
    InvalidRequestError,
    UnsupportedOperationError,
)
from vextrus_payments.gateways.bkash.access import Granted
from vextrus_payments.gateways.bkash.config import BkashConfig
from vextrus_payments.gateways.bkash.envelope import front_door_of
from vextrus_payments.gateways.bkash.keeper import TokenKeeper
from vextrus_payments.gateways.bkash.manners import NAME
from vextrus_payments.gateways.bkash.payouts import PayoutApi, balances, look_up_payout, pay_out
from vextrus_payments.gateways.bkash.steps import account_of
from vextrus_payments.gateways.driver import Driver
from vextrus_payments.gateways.front_door import Authorization, FrontDoor
from vextrus_payments.ids import Entropy
from vextrus_payments.observe import Observer
from vextrus_payments.payment import Evidence
from vextrus_payments.payouts import LOOK_UP, GatewayBalance, PayoutCall, PayoutKind, PayoutSnapshot
from vextrus_payments.retry import RetryPolicy
from vextrus_payments.transport import Transport
from vextrus_payments.wire import CallContext, OnCheckpoint, WireCall, WireResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from vextrus_payments.tokens.cache import TokenCache

T = TypeVar("T")

_INVALID_TOKEN: Final = "2079"
_NO_CONTEXT: Final = CallContext()


class PayoutDesk:
    """Runs the protocols of payouts.py for one merchant. Args as BkashGateway.

    Raises:
        ConfigurationError: as TokenKeeper.
    """

    def __init__(
        self,
        config: BkashConfig,
        *,
        tenant: str,
        transport: "Callable[[], Transport]",
        tokens: "TokenCache | None",
        clock: Clock,
        sleeper: Sleeper,
        entropy: Entropy,
        retry: RetryPolicy | None,
        observer: Observer,
    ) -> None:
        own = config.for_payouts()
        self._clock = clock
        self._mode = config.mode
        self._tenant = tenant
        self._api = PayoutApi(root=own.api_url, mode=own.mode)
        self._driver = Driver(
            self,
            gateway=NAME,
            tenant=tenant,
            transport=transport,
            timeout_s=own.timeout_s,
            clock=clock,
            sleeper=sleeper,
            entropy=entropy,
            retry=retry or RetryPolicy(),
            breaker=Breaker(clock),
            observer=observer,
            conceal=own.concealer(),
        )
        self._keeper = TokenKeeper(
            own,
            self._api,
            self._grant,
            cache=tokens,
            clock=clock,
            sleeper=sleeper,
            entropy=entropy,
            observer=observer,
        )

    @property
    def features(self) -> frozenset[Feature]:
        """What this root offers."""
        told = {Feature.BALANCE} if self._api.routes.balance is not None else set()
        return frozenset({Feature.PAYOUTS, *told})

    def check(self, call: PayoutCall) -> None:
        """See PaymentGateway.check_payout; the amount is judged there."""
        routes = self._api.routes
        if call.kind is PayoutKind.TRANSFER:
            return
        if call.kind not in routes.by_id and not (
            call.kind is PayoutKind.B2C and routes.direct_b2c is not None
        ):
            raise self._unsupported(f"a {call.kind.value} payout")
        found = account_of(call.receiver)
        if found is None or len(found) != 11 or found != call.receiver:
            rule = "a wallet's number, 01XXXXXXXXX: eleven digits"
            raise InvalidRequestError(
                f"receiver does not fit: {rule}.", field="receiver", rule=rule, gateway=NAME
            )

    async def payout(
        self, call: PayoutCall, context: CallContext | None, on_checkpoint: OnCheckpoint | None
    ) -> PayoutSnapshot:
        """See PaymentGateway.payout."""
        return await self._drive(
            pay_out(self._api, call), context, on_checkpoint=on_checkpoint, checkpoints=True
        )

    async def look_up(
        self, call: PayoutCall, resume: Evidence, context: CallContext | None
    ) -> PayoutSnapshot | None:
        """See PaymentGateway.look_up_payout."""
        payout_id = resume.data.get(LOOK_UP)
        if not isinstance(payout_id, str):
            rule = "the evidence of this payout's own checkpoint, with what it can be asked by"
            raise InvalidRequestError(f"resume does not fit: {rule}.", field="resume", rule=rule)
        return await self._drive(look_up_payout(self._api, call, payout_id), context)

    async def balance(self, context: CallContext | None) -> GatewayBalance:
        """See PaymentGateway.get_balance."""
        if self._api.routes.balance is None:
            raise self._unsupported("a balance, from this root")
        asked_at = self._clock.now()
        accounts = await self._drive(balances(self._api), context)
        return GatewayBalance(gateway=NAME, mode=self._mode, accounts=accounts, asked_at=asked_at)

    async def aclose(self) -> None:
        """Let go of the token cache, where it is our own."""
        await self._keeper.aclose()

    # --- hooks of the driver ------------------------------------------------------------------------------------

    async def authorize(self, context: CallContext) -> Authorization:
        """The headers of a token of the payouts' own credentials."""
        return await self._keeper.authorize()

    async def reject_authorization(self, authorization: Authorization) -> None:
        """Drop this very token."""
        await self._keeper.reject(authorization)

    def front_door(self, response: WireResponse) -> FrontDoor | None:
        """The API gateway's listed bodies."""
        return front_door_of(response)

    # --- within ---------------------------------------------------------------------------------------------------

    async def _drive(
        self,
        call: WireCall[T],
        context: CallContext | None,
        *,
        on_checkpoint: OnCheckpoint | None = None,
        checkpoints: bool = False,
    ) -> T:
        """A token that bKash's business logic calls invalid (2079) is dropped; no replay."""
        before = self._keeper.current
        try:
            return await self._driver.run(
                call, context=context or _NO_CONTEXT, on_checkpoint=on_checkpoint, checkpoints=checkpoints
            )
        except AuthenticationRejectedError as error:
            used = self._keeper.current
            if error.code == _INVALID_TOKEN and used is not None and before in (None, used):
                await self._keeper.reject(used)
            raise

    async def _grant(self, call: WireCall[Granted], context: CallContext) -> Granted:
        return await self._driver.run(call, context=context)

    def _unsupported(self, what: str) -> UnsupportedOperationError:
        return UnsupportedOperationError(
            f"{NAME} cannot do {what}, as configured.", gateway=NAME, tenant=self._tenant
        )
