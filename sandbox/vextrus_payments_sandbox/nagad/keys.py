"""The two key pairs of the Nagad sandbox: made at its first start, kept in one folder, readable by their owner only.

A file holds what the merchant portal hands out (dossier §11): one line of Base64 DER without armour, PKCS#8 for a
private key, SubjectPublicKeyInfo for a public one. They open nothing but a sandbox on this machine.
"""

import base64
import os
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.tokens import state_home
from vextrus_payments_sandbox.world import KeysError

KEY_BITS: Final = 2048
MERCHANT_PRIVATE: Final = "merchant_pri.pem"
MERCHANT_PUBLIC: Final = "merchant_pub.pem"
GATEWAY_PRIVATE: Final = "gateway_pri.pem"
GATEWAY_PUBLIC: Final = "gateway_pub.pem"
_FILES: Final = (MERCHANT_PRIVATE, MERCHANT_PUBLIC, GATEWAY_PRIVATE, GATEWAY_PUBLIC)
_FOLDER: Final = "sandbox-nagad-keys"
_FILE_MAX: Final = 8_192


@dataclass(frozen=True, slots=True)
class Pair:
    """One RSA key pair."""

    private: rsa.RSAPrivateKey = field(repr=False)

    @property
    def public(self) -> rsa.RSAPublicKey:
        """Its public half."""
        return self.private.public_key()

    def private_text(self) -> str:
        """PKCS#8 DER as one line of Base64."""
        der = self.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return base64.b64encode(der).decode("ascii")

    def public_text(self) -> str:
        """SubjectPublicKeyInfo DER as one line of Base64."""
        der = self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(der).decode("ascii")


def new_pair() -> Pair:
    """A fresh pair, from the system's randomness: a key that repeated from run to run would be no secret."""
    return Pair(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))


@dataclass(frozen=True, slots=True)
class Keys:
    """What both sides of the sandbox hold: the gateway its pair, its merchant his."""

    gateway: Pair
    merchant: Pair


def new_keys() -> Keys:
    """Two fresh pairs."""
    return Keys(gateway=new_pair(), merchant=new_pair())


class KeyFolder:
    """The folder with the four files; nothing is made or read before somebody needs it.

    Two sandboxes may start at the same moment for the first time: the pairs are written elsewhere and appear by one
    rename, so that both end with the same ones.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._named = folder

    @cached_property
    def folder(self) -> Path:
        """Where the keys are. Raises :class:`KeysError` where the user has no home folder."""
        if self._named is not None:
            return self._named
        problem = ""
        try:
            return state_home() / _FOLDER
        except ConfigurationError as error:
            problem = str(error)
        raise _unkept(f"has no place for its keys: {problem}")

    @cached_property
    def keys(self) -> Keys:
        """Both pairs, read once. Raises :class:`KeysError` for files that cannot be made, read or understood."""
        self.ensure()
        return Keys(gateway=self._read(GATEWAY_PRIVATE), merchant=self._read(MERCHANT_PRIVATE))

    def path(self, name: str) -> str:
        """The absolute path of one of the files, which is there afterwards."""
        self.ensure()
        return str((self.folder / name).absolute())

    def merchant(self, number: int) -> Pair:
        """The pair of the merchant of that number, 2 or more, made at its first need. Raises :class:`KeysError`."""
        return self._read(self._merchant_file(number))

    def merchant_path(self, number: int) -> str:
        """The absolute path of that merchant's private key, which is there afterwards."""
        return str((self.folder / self._merchant_file(number)).absolute())

    def _merchant_file(self, number: int) -> str:
        self.ensure()
        name, problem = f"merchant_{number}_pri.pem", ""
        if (self.folder / name).exists():
            return name
        try:
            made = self.folder / f".{name}.{os.getpid()}"
            _write(made, new_pair().private_text())
            try:
                os.link(made, self.folder / name)  # of two sandboxes at the same moment, one is the first
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                made.replace(self.folder / name)
            made.unlink(missing_ok=True)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        if problem:
            raise _unkept(f"cannot keep a merchant's key in {self.folder}: {problem}")
        return name

    def ensure(self) -> None:
        """Make the files if they are not there."""
        if all((self.folder / name).exists() for name in _FILES):
            return
        problem = ""
        try:
            self._make()
        except OSError as error:
            problem = error.strerror or type(error).__name__
        if problem:
            raise _unkept(
                f"cannot keep its keys in {self.folder}: {problem}. VEXTRUS_PAY_HOME names another folder"
            )

    def _make(self) -> None:
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=f".{_FOLDER}-", dir=self.folder.parent))  # for its owner only
        try:
            keys = new_keys()
            _write(made / MERCHANT_PRIVATE, keys.merchant.private_text())
            _write(made / MERCHANT_PUBLIC, keys.merchant.public_text())
            _write(made / GATEWAY_PRIVATE, keys.gateway.private_text())
            _write(made / GATEWAY_PUBLIC, keys.gateway.public_text())
            try:
                made.rename(self.folder)
            except OSError:
                if not all((self.folder / name).exists() for name in _FILES):
                    raise  # nobody else made them either
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _read(self, name: str) -> Pair:
        problem = ""
        try:
            with (self.folder / name).open("rb") as file:
                text = file.read(_FILE_MAX)
            # Made by `_make`: to prove their primes again would cost every start 40 ms a key.
            key = load_der_private_key(
                base64.b64decode(text.strip(), validate=True), None, unsafe_skip_rsa_key_validation=True
            )
            if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= KEY_BITS:
                return Pair(key)
            problem = f"it is no RSA key of {KEY_BITS} bits or more"
        except OSError as error:
            problem = error.strerror or type(error).__name__
        except ValueError:
            problem = "it is no private key in one line of Base64"
        raise _unkept(
            f"cannot use {self.folder / name}: {problem}. Delete that folder, and fresh keys are "
            "made at the next start"
        )


def _unkept(what: str) -> KeysError:
    return KeysError(f"the Nagad sandbox {what}", "nagad")


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
