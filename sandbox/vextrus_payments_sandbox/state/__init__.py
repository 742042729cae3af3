"""The sandbox's memory on disk: what ``--state FILE`` keeps, and how it comes back."""

from vextrus_payments_sandbox.state.answers import KeptAnswers
from vextrus_payments_sandbox.state.codec import Codec, NotPlainError
from vextrus_payments_sandbox.state.file import FORMAT, StateFile, StateFileError
from vextrus_payments_sandbox.state.keeper import Keeper, Keeping

__all__ = [
    "FORMAT",
    "Codec",
    "Keeper",
    "Keeping",
    "KeptAnswers",
    "NotPlainError",
    "StateFile",
    "StateFileError",
]
