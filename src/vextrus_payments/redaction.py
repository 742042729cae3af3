"""What may be shown of a request, an answer, a URL or a text: by allow-list, on one line, with nothing secret in it.

A field nobody listed is masked, whatever its name: a list of forbidden names misses the next provider's spelling.
"""

import json
import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.printable import LINE_MAX, one_line
from vextrus_payments.secret import MASK, mask_account

_MAX_FIELDS: Final = 60
_MAX_NAME: Final = 80
_MAX_SEARCHED: Final = 2000
"""No pattern is run over more characters than this, whatever the limit of what is shown."""
_MAX_BODY: Final = 64 * 1024

#: Header names (lower case) whose values say nothing about anybody.
SAFE_HEADERS: Final = frozenset(
    {
        "accept",
        "content-type",
        "content-length",
        "date",
        "retry-after",
        "server",
        "x-amzn-errortype",
        "x-amzn-requestid",
    }
)

#: Body fields, folded to lower case without `_` and `-`, that may be shown as they are.
SAFE_FIELDS: Final = frozenset(
    """
    statuscode statusmessage errorcode errormessage errormessageen errormessagebn internalcode externalcode message
    status msg mode intent currency amount refundamount originaltrxamount maxrefundableamount charge servicefee
    creditedamount saleamount couponamount merchantshareamount paymentid trxid originaltrxid refundtrxid
    transactionstatus refundtransactionstatus verificationstatus userverificationstatus agreementstatus
    transactiontype merchantinvoicenumber merchantinvoice paymentcreatetime paymentexecutetime createtime updatetime
    completedtime initiationtime agreementcreatetime agreementexecutetime agreementvoidtime originaltrxcompletedtime
    expiresin tokentype sku payertype organizationshortcode orderid
    apiconnect tranid transid valid banktranid trandate validatedon storeamount currencytype currencyamount
    currencyrate risklevel risktitle cardtype cardbrand nooftransfound refundrefid refundtransid initiatedon refundedon
    invoiceid invoicerefer paymentstatus totalamount
    subscriptionid subscriptionrequestid subscriptionstatus subscriptiontype paymenttype serviceid frequency startdate
    expirydate expirationtime duedate nextpaymentdate firstpaymentamount firstpaymentincludedincycle maxcaprequired
    maxcapamount trxtime reversetrxid reversetrxamount reversetrxtime cancelledby cancelledtime totalelements
    totalpages currentpage
    """.split()
)
#: Those of them that are ids: shown as they are, for they are long and opaque by nature. In what the others hold, be it
#: a status, a time or by what somebody paid, a gateway may repeat anything that was typed into it.
REFERENCE_FIELDS: Final = frozenset(
    """
    paymentid trxid originaltrxid refundtrxid merchantinvoicenumber merchantinvoice sku orderid organizationshortcode
    tranid transid valid banktranid refundrefid refundtransid invoiceid invoicerefer subscriptionid
    subscriptionrequestid serviceid reversetrxid
    """.split()
)
#: Those of them whose values are sentences.
SENTENCE_FIELDS: Final = frozenset(
    "statusmessage errormessage errormessageen errormessagebn message msg status".split()
)
#: Body fields that name a person's account: shown with their middle hidden.
ACCOUNT_FIELDS: Final = frozenset(
    "customermsisdn payeraccount payerreference payer debitmsisdn receivermsisdn wallet msisdn".split()
)

#: As json.loads(body, parse_float=str, parse_int=str), which makes one anew each time.
_DECODER: Final = json.JSONDecoder(parse_float=str, parse_int=str)

# Begins where a run of its letters begins, or a long run would be gone through again from each of them.
_JWT: Final = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_.-]*")
_OPAQUE: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9+/_=-]{25,}(?![A-Za-z0-9])")
_OPAQUE_NAME: Final = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9+/_=-]{25,}")
_WALLET: Final = re.compile(
    r"(?<![0-9০-৯])(?:\+?(?:88|৮৮)[ -]?)?[0০][ -]?[1১][3-9৩-৯](?:[ -]?[0-9০-৯]){8}(?![0-9০-৯])"
)
#: A run of digits long enough for a card's number, however they are set apart; which of its groups are one, the check
#: digit says.
_MANY_DIGITS: Final = re.compile(r"[0-9০-৯](?:[ ._/*-]{0,3}[0-9০-৯]){12,}")
_DIGITS: Final = re.compile(r"[0-9০-৯]+")
#: By the first digits: Visa, American Express, Diners, Mastercard, UnionPay and other debit cards (Nexus).
_CARD: Final = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}|3[47][0-9]{13}|3[0689][0-9]{12}|[25][0-9]{15}|6[0-9]{15,18}", re.ASCII
)
_CARD_MIN: Final = 13
_CARD_BEGINS: Final = frozenset("23456২৩৪৫৬")
_CARD_MAX: Final = 19
_USER_INFO: Final = re.compile(r"://[^\s/@]*@")
_CREDENTIALS_NAME: Final = (
    r"(?i)(?<![\w.-])"
    r"((?:[\w.-]*(?:authorization|bearer|passw(?:or)?d|passphrase|secret|credential|token|api[_-]?key|app[_-]?key"
    r"|signature)s?|(?:[\w.-]*[_.-])?(?:basic|pin|otp|cv[vc]2?|(?:verification|security)[ _-]code)))(?![A-Za-z0-9])"
)
#: "482913 is your OTP", "use 482913 as the PIN": the value before its name.
_CODE_FIRST: Final = re.compile(
    r"(?i)(?<![0-9A-Za-z])[0-9০-৯]{3,8}(?=[,:]?\s+(?:is|as|for)\s+(?:[a-z]{1,15}\s+){0,3}"
    r"(?:otp|pin|cv[vc]2?|password|passcode|(?:verification|security)\s+code)(?![A-Za-z0-9]))"
)
_BETWEEN: Final = r"\\*[\"']?\s*(?:=|:|%3[AD])\s*|\s+(?:(?:is|was)\s+)?"
_VALUE: Final = r"((?:(?:bearer|basic|digest)\s+)?(?:\"[^\"]*\"|'[^']*'|[^\s,;&}]+))"
#: A credential's name, whatever stands before it in the same word (app_secret, X-APP-Key, refreshToken), what
#: separates it from the value (also in JSON, escaped JSON and a query), and the value.
_CREDENTIAL: Final = re.compile(f"{_CREDENTIALS_NAME}({_BETWEEN}){_VALUE}")
#: The same in a sentence for a payer, where a plain word after a blank is no value: "Invalid OTP / PIN",
#: "This PIN is wrong.", "Multiple OTP request denied".
_PLAIN_WORD: Final = (
    r"(?-i:(?:[a-z]{1,15}|[\u0980-\u09e3\u200c\u200d]{1,30})[.,;!?\u0964]?(?:\s|$)"
    r"|/\s|PIN\b|OTP\b|[A-Za-z_-]{1,30}:)"
)
_CREDENTIAL_IN_SENTENCE: Final = re.compile(f"{_CREDENTIALS_NAME}({_BETWEEN}(?!{_PLAIN_WORD})){_VALUE}")
#: In a value that is one plain word there is nothing to search for.
_MORE_THAN_A_WORD: Final = re.compile(r"[\s=:%@]")
#: A field's name as gateways give them. Another one may be a value that was put in a name's place.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_NO_NAME: Final = "?"
#: Without one of these no word of _CREDENTIAL is in an ASCII text; looking for them is quicker.
_A_CREDENTIAL_S_WORD: Final = re.compile(
    "auth|bearer|basic|pass|secret|cred|token|key|pin|otp|sign|cv[vc]|code"
)
#: A short word without blank, colon, equals sign or dot: no pattern above can match in it, but for a wallet's or a
#: card's number.
_NOTHING_TO_MASK: Final = re.compile(r"[A-Za-z0-9_/+-]{0,24}")
#: A status, an amount (of fewer digits than a card's number) or a time as gateways write them: nothing to search for.
_PLAIN_VALUE: Final = re.compile(
    r"[A-Za-z_]{0,24}|[+-]?[0-9]{1,8}(?:\.[0-9]{1,4})?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.:][0-9]{3})?(?: ?GMT)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)


def redact_sentence(text: str, limit: int = LINE_MAX) -> str:
    """As `redact_text`, for a gateway's sentence that payers read: "Invalid OTP / PIN" stays what it is."""
    return _redacted(text, limit, _CREDENTIAL_IN_SENTENCE)


def redact_text(text: str, limit: int = LINE_MAX) -> str:
    """Free text with what looks like a credential, a token or a wallet number masked.

    The last line of defence for sentences of others (a gateway's message); fields go by the allow-list instead.
    """
    return _redacted(text, limit, _CREDENTIAL)


def _redacted(text: str, limit: int, credential: re.Pattern[str]) -> str:
    short = len(text) <= limit and _NOTHING_TO_MASK.fullmatch(text)
    if short and not _WALLET.search(text) and not _MANY_DIGITS.search(text):
        return text
    masked = text[: min(4 * limit, _MAX_SEARCHED)]
    masked = _MANY_DIGITS.sub(_without_cards, masked)
    if not masked.isascii() or _A_CREDENTIAL_S_WORD.search(masked.lower()):
        masked = _CODE_FIRST.sub(MASK, masked)
        masked = credential.sub(lambda m: f"{m[1]}{m[2]}{MASK}", masked)
    if "@" in masked:
        masked = _USER_INFO.sub(f"://{MASK}@", masked)
    masked = _JWT.sub(MASK, masked)
    masked = _OPAQUE.sub(MASK, masked)
    masked = _WALLET.sub(lambda m: mask_account(m[0]) or "", masked)
    return one_line(masked, limit)


def _without_cards(found: re.Match[str]) -> str:
    """The run of digits, each card's number in it shown by its ends alone.

    A number begins and ends where a group of digits does: `4111 1111 1111 1111`, also with `12/26 111` behind it.
    """
    text, kept, shown = found[0], 0, []
    groups = list(_DIGITS.finditer(text))
    for first, begin in enumerate(groups):
        if begin.start() < kept or begin[0][0] not in _CARD_BEGINS:
            continue
        digits = ""
        for end in groups[first:]:
            digits += end[0]
            if len(digits) > _CARD_MAX:
                break
            if len(digits) >= _CARD_MIN and is_card_number(digits):
                shown += [text[kept : begin.start()], mask_account(digits) or ""]
                kept = end.end()
                break
    return "".join(shown) + text[kept:]


def is_card_number(digits: str) -> bool:
    """True for digits, with nothing between them, that are a card's number by their start, length and check digit."""
    western = "".join(str(int(digit)) for digit in digits)
    if not _CARD.fullmatch(western):
        return False
    doubled = (int(digit) * 2 for digit in western[-2::-2])
    return (sum(int(digit) for digit in western[::-2]) + sum(n - 9 * (n > 9) for n in doubled)) % 10 == 0


def redact_url(url: str) -> str:
    """Scheme, host, port and path; no user, no query, no fragment. What is no URL becomes a mask."""
    # Only addresses without a query are remembered: a query may carry a secret.
    plain = len(url) <= LINE_MAX and "?" not in url and "#" not in url
    return _known_url(url) if plain else _redacted_url(url)


def _redacted_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return MASK
    if not parts.scheme or not parts.hostname:
        return MASK
    path = "/".join(_OPAQUE.sub(MASK, piece) if len(piece) > 40 else piece for piece in parts.path.split("/"))
    query = "?…" if parts.query else ""
    return one_line(f"{parts.scheme}://{parts.hostname}{port}{path}{query}")


_known_url = lru_cache(maxsize=256)(_redacted_url)


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with every value masked that is not on the list."""
    return {
        one_line(name, 60): redact_text(value) if name.lower() in SAFE_HEADERS else MASK
        for name, value in list(headers.items())[:_MAX_FIELDS]
    }


def redact_mapping(fields: Mapping[str, object]) -> dict[str, str]:
    """Field name -> text that may be shown. Nested mappings are flattened with a dot; lists show their length."""
    shown: dict[str, str] = {}
    _flatten(fields, "", shown, 0)
    return shown


def redact_json_body(body: bytes) -> dict[str, str]:
    """A JSON object as `redact_mapping`; anything else as its size and first byte's kind."""
    if not body:
        return {}
    fields: object = None
    if len(body) <= _MAX_BODY:
        try:
            fields = _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
        except (ValueError, RecursionError):
            fields = None
    if isinstance(fields, dict):
        return redact_mapping(fields)
    kind = "html" if body.lstrip()[:1] == b"<" else "not a JSON object"
    return {"(body)": f"{len(body)} bytes, {kind}"}


class _Rule(Enum):
    """What the allow-list says of a field."""

    SHOW = 1
    SHOW_ENDS = 2
    MASK = 3
    SEARCH = 4
    """A sentence of somebody else: always searched."""
    SEARCH_ODD = 5
    """A word of a list, an amount or a time, as a rule: what looks otherwise is searched."""


#: Named once: looking a member up in its class takes longer than the comparison itself.
_SHOW: Final = _Rule.SHOW
_SHOW_ENDS: Final = _Rule.SHOW_ENDS
_SEARCH_IT: Final = _Rule.SEARCH
_SEARCH_ODD: Final = _Rule.SEARCH_ODD
_MASK_IT: Final = _Rule.MASK


def _flatten(fields: Mapping[str, object], prefix: str, shown: dict[str, str], depth: int) -> None:
    for key, value in fields.items():
        if len(shown) >= _MAX_FIELDS:
            return
        if type(value) is str and type(key) is str and not prefix and len(key) <= _MAX_NAME:
            known, rule = _known_field(key)
            shown[known] = MASK if rule is _MASK_IT else _by_rule(rule, value)
            continue
        name = _shown_name(prefix, str(key))
        if isinstance(value, Mapping) and depth < 3:
            _flatten(value, f"{name}.", shown, depth + 1)
        elif isinstance(value, list | tuple):
            shown[name] = f"[{len(value)}]"
            if depth < 3:
                for number, item in enumerate(value[:10]):
                    if isinstance(item, Mapping):
                        _flatten(item, f"{name}.{number}.", shown, depth + 1)
        else:
            shown[name] = _shown(str(key), value)


def _rule_of(key: str) -> _Rule:
    folded = key.lower().replace("_", "").replace("-", "")
    if folded in ACCOUNT_FIELDS:
        return _SHOW_ENDS
    if folded in SENTENCE_FIELDS:
        return _SEARCH_IT
    if folded in REFERENCE_FIELDS:
        return _SHOW
    return _SEARCH_ODD if folded in SAFE_FIELDS else _MASK_IT


# A peer may send keys of any length and number: only short ones are remembered, and not too many.
@lru_cache(maxsize=1024)
def _known_field(key: str) -> tuple[str, _Rule]:
    return _shown_name("", key), _rule_of(key)


def _shown_name(prefix: str, key: str) -> str:
    """A field's name behind what stands before it.

    One that nobody listed and that looks like a token itself is masked, with what stands before; one that no
    gateway would give to a field is a question mark.
    """
    start = key[: 4 * _MAX_NAME]  # a peer's key may be as long as its answer
    if _rule_of(start) is _MASK_IT and (_OPAQUE_NAME.fullmatch(start) or _JWT.search(start)):
        return MASK
    name = key if len(key) <= _MAX_NAME and _PLAIN_NAME.fullmatch(key) else _NO_NAME
    return one_line(f"{prefix}{name}", _MAX_NAME)


def _shown(key: str, value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return _by_rule(_rule_of(key), str(value))


def _by_rule(rule: _Rule, text: str) -> str:
    if rule is _MASK_IT:
        return MASK
    if rule is _SHOW_ENDS:
        return one_line(mask_account(text) or "")
    if rule is _SEARCH_ODD:
        return text if _PLAIN_VALUE.fullmatch(text) else redact_text(text)
    # References are long and opaque by nature; sentences of others may hold anything, even where they are one word.
    if rule is _SEARCH_IT or len(text) > _MAX_NAME or _MORE_THAN_A_WORD.search(text):
        return redact_text(text)
    return one_line(text)
