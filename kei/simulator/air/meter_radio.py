"""The meter as a dongle sees it over the air."""

from dataclasses import dataclass, field

METER_MAC = 0x001D129012345678
MULTICAST = "FF02:0000:0000:0000:0000:0000:0000:0001"


def link_local(mac: int) -> str:
    """Return the IPv6 link-local address of a 64-bit MAC address, in full and upper case."""
    text = f"FE80000000000000{mac ^ 0x0200000000000000:016X}"
    return ":".join(text[at : at + 4] for at in range(0, len(text), 4))


@dataclass(frozen=True, slots=True)
class MeterRadio:
    """What finding and joining the meter takes.

    Attributes:
        broute_id: 32 characters.
        broute_pwd: 12 characters.
        channel: as in S02.
        pan_id: as in S03.
        mac: of the meter.
        lqi: of its frames.
        heard_from: the least duration of a scan that hears it, 0 to 14.
    """

    broute_id: str = field(repr=False)
    broute_pwd: str = field(repr=False)
    channel: int = 0x21
    pan_id: int = 0x8888
    mac: int = METER_MAC
    lqi: int = 0xE1
    heard_from: int = 0

    @property
    def address(self) -> str:
        """Its IPv6 address."""
        return link_local(self.mac)

    @property
    def pairing_id(self) -> str:
        """The end of the Route-B ID, for which a scan asks."""
        return self.broute_id[-8:]
