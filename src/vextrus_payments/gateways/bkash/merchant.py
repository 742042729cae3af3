"""One merchant at bKash: his settings and token, his payouts and senders, and what the driver asks of them."""

from dataclasses import replace
from typing import ClassVar, Final, TypeVar, Unpack

from vextrus_payments.capabilities import Capabilities
from vextrus_payments.errors import (
    AuthenticationRejectedError,
    ConfigurationError,
    InvalidRequestError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.base import GatewayParts, PaymentGateway
from vextrus_payments.gateways.bkash.access import Granted
from vextrus_payments.gateways.bkash.config import BkashConfig
from vextrus_payments.gateways.bkash.dialect import ApiVersion
from vextrus_payments.gateways.bkash.dialects import DIALECTS
from vextrus_payments.gateways.bkash.envelope import front_door_of
from vextrus_payments.gateways.bkash.errors import Operation, meaning_of
from vextrus_payments.gateways.bkash.hearing import Hearing
from vextrus_payments.gateways.bkash.keeper import TokenKeeper
from vextrus_payments.gateways.bkash.manners import NAME, capabilities_of
from vextrus_payments.gateways.bkash.payout_desk import PayoutDesk
from vextrus_payments.gateways.bkash.steps import Api
from vextrus_payments.gateways.front_door import Authorization, FrontDoor
from vextrus_payments.meanings import ErrorClass, ErrorMeaning
from vextrus_payments.token_port import TokenHealth
from vextrus_payments.verifier_port import WebhookVerifier
from vextrus_payments.wire import CallContext, OnCheckpoint, WireCall, WireResponse

T = TypeVar("T")

_INVALID_TOKEN: Final = "2079"


class BkashMerchant(PaymentGateway):
    """What every verb of bKash's gateway stands on; the verbs are in gateway.py."""

    name: ClassVar[str] = NAME

    def __init__(
        self,
        config: BkashConfig,
        *,
        verifier: WebhookVerifier | None = None,
        **parts: Unpack[GatewayParts],
    ) -> None:
        if not isinstance(config, BkashConfig):
            raise ConfigurationError(
                f"bkash needs a BkashConfig, not a {type(config).__name__}.", gateway=NAME
            )
        super().__init__(config, **parts)
        self._api = Api(
            root=config.api_url,
            mode=config.mode,
            refund_api=config.refund_api,
            dialect=DIALECTS[config.api_version or ApiVersion.V1],
        )
        self._settings = config
        self._capabilities = capabilities_of(config.refund_api, self._api.dialect.version)
        self._payouts: PayoutDesk | None = None
        if config.pays_out:
            self._payouts = PayoutDesk(
                config,
                tenant=self._tenant,
                transport=self._open_transport,
                tokens=self._tokens,
                clock=self._clock,
                sleeper=self._sleeper,
                entropy=self._entropy,
                retry=parts.get("retry"),
                observer=self._observer,
            )
            features = self._capabilities.features | self._payouts.features
            self._capabilities = replace(self._capabilities, features=features)
        self._void_paths: tuple[str, ...] = config.void_path.paths
        self._keeper = TokenKeeper(
            config,
            self._api,
            self._drive_grant,
            cache=self._tokens,
            clock=self._clock,
            sleeper=self._sleeper,
            entropy=self._entropy,
            observer=self._observer,
        )
        self._hearing = Hearing(
            config,
            tenant=self._tenant,
            clock=self._clock,
            transport=self._open_transport,
            is_passed_in=parts.get("transport") is not None,
            verifier=verifier,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What bKash can do."""
        return self._capabilities

    async def token_health(self) -> TokenHealth:
        """How the token and bKash's two grants an hour stand (dossier §1.4). Asks nobody."""
        return await self._keeper.health()

    async def aclose(self) -> None:
        """Close what this gateway opened itself."""
        await self._hearing.aclose()
        if self._payouts is not None:
            await self._payouts.aclose()
        await self._keeper.aclose()
        await super().aclose()

    # --- hooks ------------------------------------------------------------------------------------------------------

    async def authorize(self, context: CallContext) -> Authorization:
        """The token's headers, made once per token."""
        return await self._keeper.authorize()

    async def reject_authorization(self, authorization: Authorization) -> None:
        """Drop this very token; a newer one stays."""
        await self._keeper.reject(authorization)

    def front_door(self, response: WireResponse) -> FrontDoor | None:
        """The API gateway's listed bodies."""
        return front_door_of(response)

    def map_error_code(self, operation: str, code: str) -> ErrorMeaning:
        """What a code of bKash means to a call; a code nobody documented leaves the outcome unknown.

        Raises:
            InvalidRequestError: bKash has no operation of this name.
        """
        if operation not in set(Operation):
            raise InvalidRequestError(
                "bKash has no such operation.", field="operation", rule=f"one of {', '.join(Operation)}"
            )
        return meaning_of(operation, code) or ErrorMeaning(
            kind=ErrorClass.UNK,
            error=UnreadableAnswerError,
            advice_en="Nobody documented this code: look the payment up, never repeat a call that moves money.",
        )

    async def drive(
        self,
        call: WireCall[T],
        *,
        context: CallContext | None = None,
        on_checkpoint: OnCheckpoint | None = None,
        checkpoints: bool = False,
    ) -> T:
        """As PaymentGateway. A token that bKash's business logic calls invalid (2079) is dropped; no replay."""
        before = self._keeper.current
        try:
            return await super().drive(
                call, context=context, on_checkpoint=on_checkpoint, checkpoints=checkpoints
            )
        except AuthenticationRejectedError as error:
            used = self._keeper.current
            if error.code == _INVALID_TOKEN and used is not None and before in (None, used):
                await self._keeper.reject(used)
            raise

    # --- within -------------------------------------------------------------------------------------------------------

    async def _drive_grant(self, call: WireCall[Granted], context: CallContext) -> Granted:
        return await super().drive(call, context=context)
