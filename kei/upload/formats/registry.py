"""Which format a target wants."""

from datetime import tzinfo

from kei.upload.batching import Format
from kei.upload.formats.influx import InfluxFormat
from kei.upload.formats.json import JsonFormat
from kei.upload.formats.keilog import KeilogFormat
from kei.upload.target import FormatName, Target


def format_of(target: Target, source: str, zone: tzinfo) -> Format:
    """Return the format of a target.

    Args:
        target: where it goes.
        source: name of this machine.
        zone: local time zone.
    """
    match target.format:
        case FormatName.KEILOG:
            return KeilogFormat(target.key, target.fname_base, zone)
        case FormatName.JSON:
            return JsonFormat(target.name, target.key, source, zone)
        case FormatName.INFLUX:
            return InfluxFormat(target.name, target.key, source)
