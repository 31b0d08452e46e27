"""The dongle and the meter: `[broute]` and `[[broute.requests]]` of jobs.toml."""

from decimal import Decimal

from kei.core.secret import Secret
from kei.settings import text_rules
from kei.settings.keys import (
    DAY_S,
    Choice,
    Duration,
    Epcs,
    Number,
    OneOf,
    Port,
    SecretText,
    Tables,
    Text,
    key,
    table,
)

# Those of the power companies' own examples: no meter knows them but the simulated one.
EXAMPLE_ID = "00112233445566778899AABBCCDDEEFF"
EXAMPLE_PWD = "0123456789AB"  # noqa: S105 - a dummy

SIMULATED_PORT = "sim:"  # begins the port of a simulated dongle; its options follow

# The rates that POSIX and Linux have a name for (B300 and up, termios(3)).
BAUDRATES = (
    300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200,
    230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000,
)  # fmt: skip

CYCLE_MIN_S = 0.1  # no meter answers faster, not even a simulated one needs more
# Everything is asked once after each join anyway, and a longer cycle has no place in a day that
# it could be aligned to; what is larger is a number of milliseconds by mistake.
CYCLE_MAX_S = DAY_S


@table()
class RequestGroup:
    """Properties of the meter that are asked for together, one table a group."""

    epcs: tuple[int, ...] = key(
        Epcs(), "Codes of the properties, each once.", name="epc", example='["E7", "E8"]'
    )
    cycle_s: float = key(
        Duration(CYCLE_MIN_S, CYCLE_MAX_S), "Time from one request to the next.", example='"10s"'
    )


DEFAULT_REQUESTS = (
    RequestGroup((0xD3, 0xD7, 0xE1), 3600.0),
    RequestGroup((0xE7,), 10.0),
    RequestGroup((0xE0,), 120.0),
)


@table(kw_only=True)
class Broute:
    """The dongle and the meter behind it; without this table kei only records sensors."""

    port: str = key(
        Port(),
        'As `ls /dev/serial/by-id/*` shows it; "sim:" is a dongle and a meter inside kei.',
        example='"/dev/serial/by-id/usb-FTDI_FT230X_Basic_UART_xxxxxxxx-if00-port0"',
    )
    baudrate: int = key(OneOf(BAUDRATES), "Bits a second.", default=115_200)
    dongle: str = key(Choice("dongles"), 'The kind of dongle; "auto" finds out.', default="auto")
    broute_id: Secret = key(
        SecretText(text_rules.broute_id, "32 hex digits"),
        "The ID that your power company sent you for the B route.",
        example=f'"{EXAMPLE_ID}"',
    )
    broute_pwd: Secret = key(
        SecretText(text_rules.broute_pwd, "12 characters of 0-9 and A-Z"),
        "The password that came with it.",
        example=f'"{EXAMPLE_PWD}"',
    )
    unit: str = key(
        Text(text_rules.identifier, text_rules.ID_SPAN),
        "UnitID of the meter in the files.",
        default="BR",
    )
    energy_unit: Decimal | None = key(
        Number("energy_units"),
        "kWh of one count of the register, only for a meter that has no E1: its own E1 wins.",
        default=None,
        example="0.1",
    )
    requests: tuple[RequestGroup, ...] = key(
        Tables(RequestGroup, by=("epcs",)), default=DEFAULT_REQUESTS
    )
