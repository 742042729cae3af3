"""The manners that a gateway's merchants missed, and what they owe, as they are written down."""

from vextrus_payments_sandbox.manners import Manners, Miss, Owed
from vextrus_payments_sandbox.state.codec import Codec
from vextrus_payments_sandbox.state.sources import Found, Lines, Source, Things, line_list


def sources_of(manners: Manners) -> tuple[Source, ...]:
    """Where they lie."""
    return (
        Lines(f"{manners.gateway}.missed", lambda: manners.missed),
        Things(f"{manners.gateway}.owed", manners, "owed", named=" ".join),
    )


def restore(manners: Manners, found: Found, codec: Codec) -> None:
    """Take them up."""
    manners.missed.extend(line_list(found, f"{manners.gateway}.missed", codec, Miss))
    owed = line_list(found, f"{manners.gateway}.owed", codec, Owed)
    manners.owed = {(one.code, one.reference): one for one in owed}
