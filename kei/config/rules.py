"""Rules that need other rooms or the disk: properties, dongles, formats, simulators, paths."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from kei.core.errors import ConfigError
from kei.core.likeness import most_like
from kei.echonet.meter_class import ENERGY_UNITS, PROPERTIES, UNRECORDED
from kei.settings.broute import SIMULATED_PORT
from kei.settings.keys import Choice, Conflict
from kei.settings.mqtt import Mqtt
from kei.settings.recorder import RecorderSettings
from kei.settings.serial import SIMULATED_SENSORS
from kei.settings.text_rules import Wrong, plain, shown
from kei.settings.upload import Compress, UploadTarget
from kei.upload.formats import FORMATS
from kei.wisun.dialects import DIALECTS

_EPC = re.compile(r"[0-9A-Fa-f]{2}")
_PATTERN = re.compile(r"[*?\[]")
_WINDOWS_PORT = re.compile(r"COM[0-9]+:?", re.IGNORECASE)

KNOWN_EPCS = [f"{epc:02X}" for epc in PROPERTIES]


# Lists of names that the settings know by the list's name only.
_OPTIONS: Mapping[str, Mapping[str, object]] = {
    "dongles": {name: name for name in ("auto", *DIALECTS)},
    "formats": {name: name for name in FORMATS},
}

# The same for numbers.
NUMBERS: Mapping[str, Sequence[Decimal]] = {"energy_units": sorted(ENERGY_UNITS.values())}


def options(kind: Choice) -> Mapping[str, object]:
    """Return what the texts stand for that a choice allows, in their order."""
    if isinstance(kind.options, str):
        return _OPTIONS[kind.options]
    return {member.value: member for member in kind.options}


def missing(name: str, *forms: str) -> Wrong:
    """Return the fault of a key that has to be there, with the other forms of a secret."""
    if forms:
        return Wrong("is missing", f"set {', '.join((name, *forms[:-1]))} or {forms[-1]}")
    return Wrong("is missing", f"add it to this table: {name} = ...")


def conflicts(table: object, given: Collection[str]) -> Iterator[Conflict]:
    """Yield what contradicts in a table, where the settings alone cannot tell.

    Args:
        table: its dataclass.
        given: the keys that are in the file.
    """
    match table:
        case RecorderSettings():
            yield from places_to_write(table)
        case UploadTarget():
            yield from needs_of_format(table, given)
        case Mqtt(tls=True, ca_file=Path() as path):
            yield from _certificates(path)


def places_to_write(recorder: RecorderSettings) -> Iterator[Conflict]:
    """Yield where a file is in the place of a folder, or a folder in that of the database."""
    database = recorder.database
    for name, folder in (("directory", recorder.directory), ("database", database.parent)):
        if (found := obstacle(folder)) is not None:
            yield name, Wrong(f"{found} is a file, not a folder", "give another path")
    if is_folder(database):
        remedy = f"""name a file in it: "{database.name}/kei.db\""""
        yield "database", Wrong(f"{database} is a folder", remedy)


def needs_of_format(target: UploadTarget, given: Collection[str]) -> Iterator[Conflict]:
    """Yield what the format of an upload needs, or cannot do."""
    spec = FORMATS[target.format]
    forms = ("upload_key", "upload_key_file", "upload_key_env")
    if spec.needs_key and not any(form in given for form in forms):
        yield "upload_key", missing(*forms)
    if target.compress is not Compress.NONE and not spec.compressible:
        others = " or ".join(name for name, each in FORMATS.items() if each.compressible)
        what = f"is not possible with the format {target.format}"
        yield "compress", Wrong(what, f'write "none", or use {others}')
    if target.health and not spec.has_health:
        others = " or ".join(name for name, each in FORMATS.items() if each.has_health)
        what = f"is not possible with the format {target.format}"
        yield "health", Wrong(what, f"write false, or use {others}")
    yield from _contradictions(target.target_url, spec.query)


def _contradictions(url: str, wanted: Mapping[str, str]) -> Iterator[Conflict]:
    """Yield where an address has a parameter that the format needs otherwise."""
    given = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    for name, text in wanted.items():
        if any(each == name and said != text for each, said in given):
            what = f"asks for another {name} than {text}"
            yield "target_url", Wrong(what, f"write {name}={text}, or leave it out: kei adds it")


def _certificates(path: Path) -> Iterator[Conflict]:
    """Yield why a file cannot be one of certificates; who may not read it does not need it."""
    import ssl  # noqa: PLC0415 - 2 MB that a kei without such a file does not need

    try:
        ssl.create_default_context(cafile=str(path))
    except PermissionError:
        return
    except ssl.SSLError:
        yield "ca_file", Wrong(f"{path} has no certificate in it", "name a file in PEM format")
    except OSError as error:
        yield "ca_file", Wrong(f"{path}: {error.strerror}", "name a file with certificates")


def port(text: str) -> str:
    """Take the path of a serial device, or `sim:` with or without options."""
    plain(text)
    if text != text.strip():
        raise Wrong(f"{shown(text)} begins or ends with a blank", f"write {shown(text.strip())}")
    if text.startswith(SIMULATED_SENSORS):
        raise Wrong(
            "the simulated sensors are no smart meter",
            f'use them as port of a [[serial]], or "{SIMULATED_PORT}" here',
        )
    if text == SIMULATED_PORT.rstrip(":"):
        raise Wrong(f"{shown(text)} lacks its colon", f'write "{SIMULATED_PORT}" for the simulator')
    if _PATTERN.search(text) and not text.startswith(SIMULATED_PORT):
        raise Wrong(
            f"{shown(text)} is a pattern, and kei opens one port",
            "write one of the names that `ls /dev/serial/by-id/*` shows",
        )
    if _WINDOWS_PORT.fullmatch(text):
        raise Wrong(
            f"{shown(text)} is the name of a port under Windows",
            "write one of the names that `ls /dev/serial/by-id/*` shows",
        )
    if text.startswith(SIMULATED_PORT):
        # No part of the main job on a small machine.
        from kei.simulator.options import parse_sim_port  # noqa: PLC0415

        _check_options(parse_sim_port, text)
    return text


def sensor_port(text: str) -> str:
    """Take the path of a serial device, or `sim-sensor:` with or without options."""
    if text.startswith(SIMULATED_PORT):
        raise Wrong(
            "the simulator is a smart meter, not a sensor",
            f'use it as port of [broute], or "{SIMULATED_SENSORS}" here',
        )
    if text == SIMULATED_SENSORS.rstrip(":"):
        raise Wrong(f"{shown(text)} lacks its colon", f'write "{SIMULATED_SENSORS}"')
    if text.startswith(SIMULATED_SENSORS):
        # No part of the main job on a small machine.
        from kei.simulator.board.options import parse_sensor_port  # noqa: PLC0415

        _check_options(parse_sensor_port, plain(text))
        return text
    return port(text)


def _check_options(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        mistakes = "; ".join(error.faults)
        raise Wrong(mistakes, "`kei simulate --help` shows the options") from None


def epc(text: str) -> int:
    """Read the two hex digits of a property that kei knows."""
    if text.upper() in KNOWN_EPCS:
        return int(text, 16)
    known = " ".join(KNOWN_EPCS)
    digits = text.upper().removeprefix("0X")
    count = 1 if digits in KNOWN_EPCS else 3
    near = most_like(digits, KNOWN_EPCS, count=count, least=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    if not _EPC.fullmatch(text):
        remedy = f"{hint}write two hex digits, one of {known}"
        raise Wrong(f"{shown(text)} is no property code", remedy)
    code = int(text, 16)
    if code in UNRECORDED:
        what = f"{digits} is {UNRECORDED[code].kind.value}, which is not requested"
        instead = " and ".join(f"{each:02X}" for each in UNRECORDED[code].instead)
        raise Wrong(what, (f"did you mean {instead}? " if instead else "") + f"known are {known}")
    raise Wrong(f"{digits} is not known to kei", f"{hint}known are {known}")


def obstacle(folder: Path) -> Path | None:
    """Return what stands where a folder is or would be made and is none, if anything does."""
    for path in (folder, *folder.parents):
        if os.path.lexists(path):  # which never raises
            return None if is_folder(path) else path
    return None


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder, as far as one may look."""
    return os.path.isdir(path)  # noqa: PTH112 - unlike Path.is_dir it never raises
