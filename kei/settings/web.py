"""The page that a household looks at: `[web]` of jobs.toml."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

from kei.core.secret import Secret
from kei.settings.keys import SecretText, Text, key, table
from kei.settings.text_rules import Wrong, shown

DEFAULT_PORT = 8580

_LISTEN = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:/]+)):(?P<port>[0-9]{1,5})")
_REMEDY = 'write "127.0.0.1:8580", or "0.0.0.0:8580" for the home network'


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: an IP address, and a TCP port."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `127.0.0.1:8580`, `[::1]:8580` or `localhost:8580`; Wrong if it is none of these."""
        found = _LISTEN.fullmatch(text.strip())
        if found is None:
            raise Wrong(f"{shown(text)} is no address with a port", _REMEDY)
        host = found["six"] or found["host"]
        if host == "localhost":
            host = "127.0.0.1"
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise Wrong(f"{shown(host)} is no IP address of this machine", _REMEDY) from None
        port = int(found["port"])
        if not 1 <= port <= 65_535:
            raise Wrong(f"{port} is no TCP port", "it must be from 1 to 65535")
        return cls(host, port)

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def is_any(self) -> bool:
        """Whether it stands for all addresses of this machine, and is none itself."""
        return ipaddress.ip_address(self.host).is_unspecified

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def user_name(text: str) -> str:
    """Take the name of a user; HTTP Basic ends it at the first colon (RFC 7617)."""
    if not text or ":" in text or not text.isprintable():
        raise Wrong(f"{shown(text)} is no name for a user", "write one without a colon")
    return text


def password(text: str) -> str:
    """Take a password, or an empty text for none."""
    if not text.isprintable():
        raise Wrong("has characters that cannot be typed", "write it in one line of letters")
    return text


@table(kw_only=True)
class Web:
    """The page of this kei for a browser, and its JSON; needs the extra `kei[web]`."""

    listen: Address = key(
        Text(Address.read, "IP address and port", parts=("host", "port", "address", "bind")),
        'Where; "0.0.0.0:8580" is for the home network, and wants a password.',
        default=Address("127.0.0.1", DEFAULT_PORT),
        example=f'"127.0.0.1:{DEFAULT_PORT}"',
    )
    user: str = key(
        Text(user_name, "without a colon"), "Who may look, if there is a password.", default="kei"
    )
    password: Secret | None = key(
        SecretText(password),
        "What they have to know (HTTP Basic); without it, everybody may look.",
        default=None,
        example='"xxxxxxxxxxxxxxxx"',
    )

    @property
    def is_open(self) -> bool:
        """Whether everybody on the network may look."""
        has_password = self.password is not None and bool(self.password.reveal())
        return not has_password and not self.listen.is_loopback
