"""The MQTT broker that gets what is now: `[mqtt]` of jobs.toml."""

import re
from collections.abc import Iterator
from pathlib import Path

from kei.core.secret import Secret
from kei.settings import text_rules
from kei.settings.keys import (
    Conflict,
    Derived,
    FilePath,
    Flag,
    SecretText,
    Text,
    Whole,
    key,
    table,
)
from kei.settings.text_rules import Wrong, shown

PLAIN_PORT, TLS_PORT = 1883, 8883  # as registered for MQTT, without and with TLS
TOPIC_MAX_BYTES = 200  # a topic has 65,535 at most; nobody reads more than this

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]+")


def host(text: str) -> str:
    """Take the name or the IP address of a machine."""
    if _HOST.fullmatch(text):
        return text
    if "://" in text or "/" in text:
        remedy = 'write only its name, like "localhost"; port and tls are keys of their own'
    elif text.count(":") == 1:
        remedy = "write the port as a key of its own: port = 1883"
    else:
        remedy = 'write it like "localhost", "broker.local" or "192.168.1.5"'
    raise Wrong(f"{shown(text)} is no host", remedy)


def topic(text: str) -> str:
    """Take the beginning of topics: levels divided by slashes, without wildcards."""
    text_rules.plain(text)
    if any(character in text for character in "+#"):
        raise Wrong(f"{shown(text)} has a wildcard in it", "write it without + and #")
    if text.startswith("$"):
        raise Wrong(f"{shown(text)} belongs to the broker", "begin it with another character")
    if "" in text.split("/"):
        raise Wrong(f"{shown(text)} has an empty level", "put one slash between two words only")
    if len(text.encode()) > TOPIC_MAX_BYTES:
        raise Wrong("is too long for a topic", f"use at most {TOPIC_MAX_BYTES} bytes")
    return text


def prefix(text: str) -> str:
    """Take the beginning of the topics of discovery, or an empty text."""
    return topic(text) if text else text


def user(text: str) -> str:
    """Take the name of a user, or an empty text."""
    return text_rules.plain(text) if text else text


def password(text: str) -> str:
    """Take a password, or an empty text for none."""
    if not text.isprintable():
        raise Wrong("has a control character in it", "copy it anew, on one line")
    return text


@table(kw_only=True)
class Mqtt:
    """A broker that gets what the meter and the sensors say now; needs the extra `kei[mqtt]`."""

    host: str = key(
        Text(host, "a name or an IP address"), "Where the broker is.", default="localhost"
    )
    port: int = key(
        Whole(1, 65_535),
        "Its TCP port.",
        derived=Derived(
            f"{PLAIN_PORT}, or {TLS_PORT} with `tls = true`",
            lambda of: TLS_PORT if of["tls"] else PLAIN_PORT,
        ),
        example=str(PLAIN_PORT),
    )
    user: str = key(
        Text(user), 'Who kei is for the broker; "" = nobody.', default="", example='"kei"'
    )
    password: Secret | None = key(
        SecretText(password),
        "What goes with the user.",
        default=None,
        example='"xxxxxxxxxxxxxxxx"',
    )
    tls: bool = key(Flag(), "Whether the connection is encrypted.", default=False)
    ca_file: Path | None = key(
        FilePath(optional=True),
        'Certificates (PEM) that the broker\'s is checked by; "" = those of this machine.',
        default=None,
        example='""',
    )
    topic: str = key(
        Text(topic, "without wildcards"),
        "Begins every topic; the site's name follows.",
        default="kei",
    )
    discovery: str = key(
        Text(prefix, "without wildcards"),
        'Home Assistant\'s prefix of discovery; "" = tell it nothing.',
        default="homeassistant",
    )

    @property
    def address(self) -> str:
        """Host and port, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def conflicts(self) -> Iterator[Conflict]:
        """Yield what contradicts."""
        if self.password is not None and self.password.reveal() and not self.user:
            yield "password", Wrong("has no user", 'MQTT wants both: add user = "..."')
        if self.ca_file is not None and not self.tls:
            yield "ca_file", Wrong("is not used without TLS", "add tls = true, or leave it out")
