"""The registers of the simulated dongle (SKSREG), one table of data."""

import re
from dataclasses import dataclass
from enum import IntEnum

from kei.simulator.skstack.wire import Fail, Refused

_NAME = re.compile(r"S([0-9A-F]{1,2})")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_PAIRING_ID_CHARS = 8


class Reg(IntEnum):
    """The registers that the rest of the dongle uses, by number."""

    MAC = 0x01
    CHANNEL = 0x02
    PAN_ID = 0x03
    FRAME_COUNTER = 0x07
    PAIRING_ID = 0x0A
    AUTO_RENEW = 0x17
    LQI_FIELD = 0xA2
    LIMITED = 0xFB
    AIR_TIME_MS = 0xFD
    ECHO = 0xFE
    AUTOLOAD = 0xFF


@dataclass(frozen=True, slots=True)
class _Spec:
    """A register, such as number 0x02 for S02; it is printed with so many hexadecimal digits."""

    number: int
    digits: int
    default: int = 0
    low: int = 0
    high: int = 1
    writable: bool = True
    dual: bool | None = None  # only in the dual or the single edition of the firmware


_U16, _U32, _U64 = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF

_SPECS = (
    _Spec(Reg.MAC, 16, high=_U64, writable=False, dual=True),
    _Spec(Reg.CHANNEL, 2, default=0x21, low=0x21, high=0x3C),
    _Spec(Reg.PAN_ID, 4, default=0xFFFF, high=_U16),
    _Spec(Reg.FRAME_COUNTER, 8, high=_U32, writable=False),
    _Spec(0x0B, 16, high=_U64, dual=True),  # pairing ID of the home network
    _Spec(0x15, 1),  # answers beacon requests
    _Spec(0x16, 8, default=900, low=0x3C, high=_U32),  # PANA lifetime as an authenticator, s
    _Spec(Reg.AUTO_RENEW, 1, default=1),
    # Key-update period of the home network, s; its default is not documented.
    _Spec(0x1C, 8, default=3600, low=3600, high=2_592_000, dual=True),
    _Spec(0x1F, 16, high=_U64, writable=False, dual=True),  # relay device
    _Spec(0xA0, 1, default=1, dual=False),  # encrypts multicast
    _Spec(0xA1, 1, default=1),  # accepts plain echo requests
    _Spec(Reg.LQI_FIELD, 1, dual=True),
    _Spec(0xA9, 1, default=1, dual=True),  # radio enabled
    _Spec(0xF0, 1, dual=True),  # active side, 0 = B route
    _Spec(Reg.LIMITED, 1, writable=False),
    _Spec(Reg.AIR_TIME_MS, 16, high=0),  # only zero may be written, which clears it
    _Spec(Reg.ECHO, 1, default=1),
    _Spec(Reg.AUTOLOAD, 1),
)

# The transmit power of older firmware (Skyley), in the register that tells the LQI of the others.
_POWER = _Spec(Reg.LQI_FIELD, 1, high=4, dual=False)

SAVED = (Reg.CHANNEL, Reg.PAN_ID, Reg.AUTOLOAD)  # what SKSAVE keeps

_PAIRING_ID_DEFAULT = "CCDDEEFF"


class Registers:
    """The registers of one dongle."""

    def __init__(self, *, dual: bool, mac: int, takes_sa2: bool = False) -> None:
        specs = (*_SPECS, _POWER) if takes_sa2 else _SPECS
        self._specs = {int(spec.number): spec for spec in specs if spec.dual in {None, dual}}
        self._mac = mac
        self.pairing_id = _PAIRING_ID_DEFAULT
        self._values: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Set all to their defaults, as SKRESET does."""
        self._values = {number: spec.default for number, spec in self._specs.items()}
        self._values[Reg.MAC] = self._mac
        self.pairing_id = _PAIRING_ID_DEFAULT

    def __getitem__(self, register: Reg) -> int:
        return self._values[register]

    def __setitem__(self, register: Reg, value: int) -> None:
        """Set unchecked, for the dongle itself."""
        self._values[register] = value

    def read(self, name: str) -> str:
        """Return what SKSREG prints.

        Raises:
            Refused: there is none of that name.
        """
        number = _number(name)
        if number == Reg.PAIRING_ID:
            return self.pairing_id
        digits = self._spec(number).digits
        return f"{self._values[number]:0{digits}X}"

    def write(self, name: str, text: str) -> None:
        """Set a register from the text of the command.

        Raises:
            Refused: none of that name, read-only, or out of range.
        """
        number = _number(name)
        if number == Reg.PAIRING_ID:
            if len(text) > _PAIRING_ID_CHARS:
                raise Refused(Fail.RANGE)
            self.pairing_id = text.ljust(_PAIRING_ID_CHARS)
            return
        spec = self._spec(number)
        if not spec.writable or len(text) > max(spec.digits, 2) or not _HEX.fullmatch(text):
            raise Refused(Fail.RANGE)
        value = int(text, 16)
        if not spec.low <= value <= spec.high:
            raise Refused(Fail.RANGE)
        self._values[number] = value

    def _spec(self, number: int) -> _Spec:
        try:
            return self._specs[number]
        except KeyError:
            raise Refused(Fail.RANGE) from None


def _number(name: str) -> int:
    match = _NAME.fullmatch(name)
    if match is None:
        raise Refused(Fail.RANGE)
    return int(match[1], 16)
