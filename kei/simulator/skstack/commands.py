"""The SK commands: one method each, their table, and the checks of their arguments."""

import re
from collections.abc import Callable, Container
from dataclasses import dataclass

from kei.simulator.air.air_time import AirTime
from kei.simulator.air.meter_radio import link_local
from kei.simulator.air.timeline import Group
from kei.simulator.air.timing import RESET_S
from kei.simulator.skstack.core import Core, Neighbour, Reply
from kei.simulator.skstack.registers import SAVED, Reg
from kei.simulator.skstack.scan import ScanMode, Scanner
from kei.simulator.skstack.session import Session
from kei.simulator.skstack.wire import Fail, Refused, ok

_ANY_U32 = range(1 << 32)
_ID_CHARS = 32
_PASSWORD_CHARS = range(1, _ID_CHARS + 1)
_PSK_BYTES = 0x10
_MAX_NEIGHBOURS = 8
_MAC_DIGITS = 16
_CR = b"\r"
_HEX = re.compile(r"[0-9A-Fa-f]+")
_ADDRESS = re.compile(r"[0-9A-F]{4}(:[0-9A-F]{4}){7}")


Arguments = tuple[str, ...]


def hex_number(text: str, *, digits: int, allowed: Container[int]) -> int:
    """Return the value of an argument of at most so many hexadecimal digits.

    Raises:
        Refused: not hexadecimal, too long, or not allowed.
    """
    if len(text) > digits or not _HEX.fullmatch(text) or int(text, 16) not in allowed:
        raise Refused(Fail.RANGE)
    return int(text, 16)


def address(text: str) -> str:
    """Return an IPv6 address.

    Raises:
        Refused: not all eight groups in full, or not in upper case.
    """
    if not _ADDRESS.fullmatch(text):
        raise Refused(Fail.RANGE)
    return text


def _mac(text: str) -> int:
    if len(text) != _MAC_DIGITS:
        raise Refused(Fail.RANGE)
    return hex_number(text, digits=_MAC_DIGITS, allowed=range(1 << 64))


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table of commands.

    Attributes:
        run: carries it out.
        counts: how many arguments it takes.
    """

    run: Callable[[Arguments], Reply]
    counts: tuple[int, ...] = (0,)


def split(line: str) -> tuple[str, tuple[str, ...]]:
    """Return a command's name and arguments; real dongles ignore spaces at the end."""
    name, *arguments = line.rstrip(" ").split(" ")
    return name, tuple(arguments)


class CommandSet:
    """The commands that a model knows, by name in `table`; `restart` is what SKRESET does."""

    def __init__(
        self,
        core: Core,
        session: Session,
        scanner: Scanner,
        air_time: AirTime,
        restart: Callable[[], None],
    ) -> None:
        self._core = core
        self._session = session
        self._scanner = scanner
        self._air_time = air_time
        self._restart = restart
        self.table = self._make_table()

    def _make_table(self) -> dict[str, Command]:
        model = self._core.wire.model
        side = int(model.dual)
        table = {
            "SKRESET": Command(self._reset),
            "SKVER": Command(lambda _args: Reply(ok(f"EVER {model.version}"))),
            "SKAPPVER": Command(lambda _args: Reply(ok(f"EAPPVER {model.app_version}"))),
            "SKINFO": Command(self._info),
            "SKSREG": Command(self._register, (1, 2)),
            "SKSETPWD": Command(self._set_password, (2,)),
            "SKSETRBID": Command(self._set_id, (1,)),
            "SKSETPSK": Command(self._set_key, (2,)),
            "SKSCAN": Command(self._scan, (3 + side,)),
            "SKLL64": Command(self._link_local, (1,)),
            "SKADDNBR": Command(self._add_neighbour, (2,)),
            "SKJOIN": Command(self._join, (1,)),
            "SKREJOIN": Command(self._rejoin),
            "SKTERM": Command(self._leave),
            "SKSENDTO": Command(self._send_without_data, (6 + side,)),
            "SKPING": Command(self._ping, (1 + side,)),
            "SKTABLE": Command(self._show_table, (1,)),
            "SKUDPPORT": Command(self._open_port, (2,)),
            "SKSAVE": Command(self._save),
            "SKLOAD": Command(self._load),
            "SKERASE": Command(self._erase),
        }
        flash = self._core.flash
        if model.product_commands:
            table |= {
                "ROPT": Command(lambda _args: _text_reply(f"OK {not flash.binary:02X}")),
                "WOPT": Command(self._write_option, (1,)),
                "RUART": Command(lambda _args: _text_reply(f"OK {flash.uart:02X}")),
                "WUART": Command(self._write_uart, (1,)),
            }
        return table

    def _reset(self, _args: Arguments) -> Reply:
        self._restart()
        return Reply(ok(), RESET_S * self._core.timing.latency)

    def _info(self, _args: Arguments) -> Reply:
        core = self._core
        registers = core.registers
        tail = "0" if core.wire.model.dual else "FFFE"
        mac = f"{registers[Reg.MAC]:016X}"
        channel, pan = registers[Reg.CHANNEL], registers[Reg.PAN_ID]
        return Reply(ok(f"EINFO {core.address} {mac} {channel:02X} {pan:04X} {tail}"))

    def _register(self, args: Arguments) -> Reply:
        registers = self._core.registers
        registers[Reg.AIR_TIME_MS] = self._air_time.total_ms(self._core.timeline.now)
        if len(args) == 1:
            return Reply(ok(f"ESREG {registers.read(args[0])}"))
        registers.write(args[0], args[1])
        if not registers[Reg.AIR_TIME_MS]:
            self._air_time.clear()
        return Reply(ok())

    def _set_password(self, args: Arguments) -> Reply:
        length = hex_number(args[0], digits=2, allowed=_PASSWORD_CHARS)
        password = args[1]
        if not (password.isascii() and password.isalnum()) or len(password) > length:
            raise Refused(Fail.RANGE)
        self._core.credentials.password = password.upper()
        return Reply(ok())

    def _set_id(self, args: Arguments) -> Reply:
        text = args[0]
        if not 1 <= len(text) <= _ID_CHARS:
            raise Refused(Fail.RANGE)
        broute_id = text.ljust(_ID_CHARS)
        self._core.credentials.broute_id = broute_id
        self._core.registers.pairing_id = broute_id[-8:]
        return Reply(ok())

    def _set_key(self, args: Arguments) -> Reply:
        hex_number(args[0], digits=2, allowed=(_PSK_BYTES,))
        if len(args[1]) != 2 * _PSK_BYTES:
            raise Refused(Fail.RANGE)
        hex_number(args[1], digits=2 * _PSK_BYTES, allowed=range(1 << 8 * _PSK_BYTES))
        self._core.credentials.key_given = True
        return Reply(ok())

    def _scan(self, args: Arguments) -> Reply:
        model = self._core.wire.model
        mode = ScanMode(hex_number(args[0], digits=2, allowed=tuple(ScanMode)))
        mask = hex_number(args[1], digits=8, allowed=_ANY_U32)
        duration = hex_number(args[2], digits=2, allowed=range(model.longest_scan + 1))
        home = model.dual and hex_number(args[3], digits=1, allowed=(0, 1)) == 1
        return Reply(
            ok(), then=lambda now: self._scanner.start(now, mode, mask, duration, home=home)
        )

    def _link_local(self, args: Arguments) -> Reply:
        return Reply(f"{link_local(_mac(args[0]))}\r\n".encode("ascii"))

    def _add_neighbour(self, args: Arguments) -> Reply:
        neighbours = self._core.neighbours
        ip, mac = address(args[0]), _mac(args[1])
        if len(neighbours) >= _MAX_NEIGHBOURS and ip not in neighbours:
            raise Refused(Fail.FAILED)
        neighbours[ip] = Neighbour(mac, fixed=True)
        return Reply(ok())

    def _join(self, args: Arguments) -> Reply:
        ip = address(args[0])
        self._session.check_join()
        self._check_radio_free()
        return Reply(ok(), then=lambda now: self._session.join(now, ip))

    def _rejoin(self, _args: Arguments) -> Reply:
        self._session.check_open()
        self._check_radio_free()
        return Reply(ok(), then=self._session.renew)

    def _leave(self, _args: Arguments) -> Reply:
        self._session.check_open()
        return Reply(ok(), then=self._session.leave)

    def _send_without_data(self, _args: Arguments) -> Reply:
        raise Refused(Fail.RANGE)  # a complete one is no line

    def _ping(self, args: Arguments) -> Reply:
        core = self._core
        ip = address(args[-1])
        self._check_radio_free()

        def answer(_now: float) -> None:
            core.emit(f"EPONG {ip}\r\n".encode("ascii"))

        def wait(sent: float) -> None:
            if core.in_range() and ip == core.meter.address:
                delay = core.timing.answer(core.rng, history=False)
                core.timeline.at(sent + delay, answer, Group.AIR)

        return Reply(ok(), then=wait)

    def _show_table(self, args: Arguments) -> Reply:
        core = self._core
        neighbours = [f"{each} {entry.mac:016X} FFFF" for each, entry in core.neighbours.items()]
        tables = {
            "1": ("EADDR", core.address),
            "2": ("ENEIGHBOR", *neighbours),
            "E": ("EPORT", *map(str, core.ports.values()), ""),
        }
        if core.wire.model.tcp_remnants:
            tables["E"] = (*tables["E"], "3610", "0", "0", "0")
        rows = tables.get(args[0])
        if rows is None:
            raise Refused(Fail.RANGE)
        return Reply(ok(*rows))

    def _open_port(self, args: Arguments) -> Reply:
        ports = self._core.ports
        handle = hex_number(args[0], digits=2, allowed=ports)
        ports[handle] = hex_number(args[1], digits=4, allowed=range(1 << 16))
        return Reply(ok())

    def _save(self, _args: Arguments) -> Reply:
        registers = self._core.registers
        self._core.flash.saved = {register: registers[register] for register in SAVED}
        return Reply(ok())

    def _load(self, _args: Arguments) -> Reply:
        for register, value in self._saved().items():
            self._core.registers[register] = value
        return Reply(ok())

    def _erase(self, _args: Arguments) -> Reply:
        self._saved()
        self._core.flash.saved = None
        return Reply(ok())

    def _saved(self) -> dict[Reg, int]:
        saved = self._core.flash.saved
        if saved is None:
            raise Refused(Fail.FAILED)
        return saved

    def _check_radio_free(self) -> None:
        if self._scanner.running:
            raise Refused(Fail.FAILED)

    def _write_option(self, args: Arguments) -> Reply:
        self._core.flash.binary = hex_number(args[0], digits=2, allowed=(0, 1)) == 0
        return _text_reply("OK")

    def _write_uart(self, args: Arguments) -> Reply:
        self._core.flash.uart = hex_number(args[0], digits=2, allowed=range(1 << 8))
        return _text_reply("OK")


def _text_reply(text: str) -> Reply:
    return Reply(text.encode("ascii") + _CR)
