"""The envelope of a message of Amazon SNS: its fields, their forms, and the text that is signed (dossier §8.4)."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from vextrus_payments.errors import MalformedWebhookError
from vextrus_payments.strict_json import UnreadableJsonError, read_object
from vextrus_payments.verifier_port import VerifiedKind
from vextrus_payments.verifiers.shape import check_size, time_of

SENDER: Final = "Amazon SNS"

_ID: Final = re.compile(r"[!-~]{1,200}", re.ASCII)
TOKEN: Final = re.compile(r"[A-Za-z0-9]{1,2048}", re.ASCII)
_SIGNATURE_MAX: Final = 2048
KINDS: Final = {
    "Notification": VerifiedKind.MESSAGE,
    "SubscriptionConfirmation": VerifiedKind.CONFIRMATION,
    "UnsubscribeConfirmation": VerifiedKind.FAREWELL,
}
_SIGNED_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SIGNED_ASKING: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_ALWAYS: Final = (
    "Type",
    "MessageId",
    "TopicArn",
    "Message",
    "Timestamp",
    "SignatureVersion",
    "Signature",
    "SigningCertURL",
)


def string_to_sign(envelope: Mapping[str, str]) -> bytes:
    """The text that Amazon SNS signs (dossier §8.4): name and value of each signed field, a line each."""
    names = _SIGNED_NOTIFICATION if envelope["Type"] == "Notification" else _SIGNED_ASKING
    return "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope).encode("utf-8")


def read_envelope(body: bytes) -> dict[str, str]:
    """The envelope's fields as text, their forms checked; anything beside them is left out, for it is not signed.

    Raises:
        MalformedWebhookError: it is no message of Amazon SNS.
    """
    check_size(body, SENDER)
    problem = ""
    found: Mapping[str, object] = {}
    try:
        found = read_object(body)
    except UnreadableJsonError as error:
        problem = str(error)
    if not problem:
        envelope, problem = _fields(found)
        if not problem:
            return envelope
    raise MalformedWebhookError(f"The delivery is no message of Amazon SNS: {problem}.")


def _fields(found: Mapping[str, object]) -> tuple[dict[str, str], str]:
    """(the fields, what is wrong with them)."""
    asking = found.get("Type") in ("SubscriptionConfirmation", "UnsubscribeConfirmation")
    names = (*_ALWAYS, "Token", "SubscribeURL") if asking else (*_ALWAYS, "Subject")
    envelope: dict[str, str] = {}
    for name in names:
        value = found.get(name)
        if value is None and name == "Subject":
            continue
        if not isinstance(value, str):
            return {}, f"{name} is missing, or no text"
        if name != "Message" and ("\n" in value or "\r" in value):
            return {}, f"{name} holds a line break"
        envelope[name] = value
    if envelope["Type"] not in KINDS:
        return {}, "its Type is none of theirs"
    if not _ID.fullmatch(envelope["MessageId"]):
        return {}, "MessageId is not 1-200 visible characters"
    if time_of(envelope["Timestamp"]) is None:
        return {}, "Timestamp is no time"
    if asking and not TOKEN.fullmatch(envelope["Token"]):
        return {}, "Token is not letters and digits"
    try:
        "".join(envelope.values()).encode("utf-8")
    except UnicodeEncodeError:
        return {}, "it holds half a character"
    return envelope, ""


def signature_bytes(text: str) -> bytes:
    """The signature that an envelope carries as text.

    Raises:
        MalformedWebhookError: it is no base64, or not written in the one way there is.
    """
    raw = b""
    if len(text) <= _SIGNATURE_MAX:
        try:
            raw = base64.b64decode(text.encode("ascii"), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
    # One way to write it: bits that nobody reads would let a changed message pass as the same.
    if not raw or base64.b64encode(raw).decode("ascii") != text:
        raise MalformedWebhookError("The delivery is no message of Amazon SNS: Signature is no base64.")
    return raw
