"""A meter's network: what is needed to join it."""

from dataclasses import dataclass

LOWEST_CHANNEL, CHANNELS = 33, 28  # 33 to 60; register S2 holds the number itself


def link_local(mac: int) -> str:
    """Return the IPv6 address of a 64-bit MAC, in full and upper case.

    The universal/local bit of its first byte is inverted (RFC 4291, appendix A).
    """
    digits = f"{mac ^ (0x02 << 56):016X}"
    return "FE80:0000:0000:0000:" + ":".join(digits[i : i + 4] for i in range(0, 16, 4))


@dataclass(frozen=True, slots=True)
class Network:
    """A meter's network as a scan found it.

    Attributes:
        channel: 33..60 (register S2).
        pan_id: 0..0xFFFF (register S3).
        mac: the meter's 64-bit address, 16 hex digits.
        lqi: link quality of its beacon, 0..255; see `Datagram`.
    """

    channel: int
    pan_id: int
    mac: str
    lqi: float

    @property
    def address(self) -> str:
        """The meter's IPv6 link-local address, as SKLL64 returns it."""
        return link_local(int(self.mac, 16))

    def to_text(self) -> str:
        """Return the network as one line that `from_text` reads."""
        return f"{self.channel:02X} {self.pan_id:04X} {self.mac} {round(self.lqi):02X}"

    @staticmethod
    def from_text(text: str) -> "Network | None":
        """Read channel, PAN ID, MAC and LQI in hex digits; None if one is missing or damaged."""
        try:
            channel, pan_id, mac, lqi = (int(word, 16) for word in text.split()[:4])
        except ValueError:
            return None
        if not (LOWEST_CHANNEL <= channel < LOWEST_CHANNEL + CHANNELS):
            return None
        if pan_id > 0xFFFF or mac >= 1 << 64 or lqi > 0xFF:
            return None
        return Network(channel, pan_id, f"{mac:016X}", lqi)
