"""Whether the kei that will run with a jobs.toml may write where it says.

An installed kei.service runs as a user of its own, shut out of most of the system. Whoever checks
its jobs.toml is mostly root, who may write everywhere.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kei.settings.config import Config

UNITS = Path("/etc/systemd/system")
UNIT = "kei.service"

# Where the folders lie that systemd makes for a service (systemd.exec(5)).
_MADE_IN = {"StateDirectory": "/var/lib", "LogsDirectory": "/var/log"}
_HOMES = (Path("/home"), Path("/root"))
_ON = {"yes", "true", "on", "1", "strict", "tmpfs", "read-only"}


@dataclass(frozen=True, slots=True)
class Account:
    """A user as far as file permissions go."""

    name: str
    uid: int
    gids: frozenset[int]


class Service:
    """An installed kei.service, with its drop-ins.

    Args:
        units: the folder that has it.
    """

    def __init__(self, units: Path = UNITS) -> None:
        self._settings: dict[str, list[str]] = {}
        for file in (units / UNIT, *sorted((units / f"{UNIT}.d").glob("*.conf"))):
            with suppress(OSError, UnicodeDecodeError):
                self._add(file.read_text(encoding="utf-8").splitlines())

    def _add(self, lines: Iterable[str]) -> None:
        for line in lines:
            name, equals, value = line.strip().partition("=")
            if not equals or name.startswith(("#", ";")):
                continue
            if not value.strip():  # an empty value takes the earlier ones back
                self._settings.pop(name, None)
            self._settings.setdefault(name, []).extend(value.split())

    def runs(self, jobs: Path) -> bool:
        """Tell whether it runs kei with this jobs.toml."""
        words = self._settings.get("ExecStart", [])
        return any(
            option == "--jobs" and Path(value).resolve() == jobs.resolve()
            for option, value in pairwise(words)
        )

    def account(self) -> Account | None:
        """Return whom it runs as; None if the system does not know that user."""
        name = self._last("User") or "root"
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            gids = set(os.getgrouplist(name, entry.pw_gid))
            for group in self._settings.get("SupplementaryGroups", []):
                gids.add(grp.getgrnam(group).gr_gid)
            return Account(name, entry.pw_uid, frozenset(gids))
        return None

    def made_folders(self) -> list[Path]:
        """Return the folders that systemd makes for it, whoever owned them before."""
        return [
            Path(above) / name
            for setting, above in _MADE_IN.items()
            for name in self._settings.get(setting, [])
        ]

    def hidden_by(self, folder: Path) -> str | None:
        """Return the setting that keeps it from writing below a folder, if one does."""
        allowed = [*self.made_folders()]
        allowed += [Path(path.lstrip("-+")) for path in self._settings.get("ReadWritePaths", [])]
        if self._is_on("ProtectHome") and any(folder.is_relative_to(home) for home in _HOMES):
            return f"ProtectHome={self._last('ProtectHome')}"
        if self._last("ProtectSystem") == "strict" and not any(map(folder.is_relative_to, allowed)):
            return "ProtectSystem=strict"
        return None

    def _last(self, name: str) -> str:
        return (self._settings.get(name) or [""])[-1]

    def _is_on(self, name: str) -> bool:
        return self._last(name).lower() in _ON


def places_not_writable(
    wanted: Config, jobs: Path, *, is_own: bool = True, units: Path = UNITS
) -> Iterator[str]:
    """Yield a line for each file or folder of a configuration that kei will not be able to write.

    Args:
        wanted: the configuration.
        jobs: its file: an installed service that names it is what will run.
        is_own: whether, where there is no such service, whoever asks is going to run kei.
        units: the folder of the installed services.
    """
    service = Service(units)
    recorder, log = wanted.recorder, wanted.log
    places = [("recorder.directory", recorder.directory), ("recorder.database", recorder.database)]
    files = (("log.file", log.file), ("log.transcript", log.transcript))
    places += [(name, file) for name, file in files if file is not None]
    for name, path in places:
        folder = path if name == "recorder.directory" else path.parent
        if service.runs(jobs):
            reason = _reason_of_service(service, path, folder)
        else:
            reason = _reason_of_mine(path, folder) if is_own else None
        if reason is not None:
            yield f"{name}: {path}: {reason}"


def _reason_of_mine(path: Path, folder: Path) -> str | None:
    obstacle = _first_there(path, folder)
    if os.access(obstacle, os.W_OK | (os.X_OK if obstacle.is_dir() else 0)):
        return None
    what = "" if obstacle == path else f"{obstacle} "
    return f"{what}may not be written by you; name another place, or run kei as its owner"


def _reason_of_service(service: Service, path: Path, folder: Path) -> str | None:
    made = service.made_folders()
    setting = service.hidden_by(folder)
    if setting is not None:
        use = f"use a folder in {made[0]}, or " if made else ""
        allow = f"ReadWritePaths={folder}"
        if setting.startswith("ProtectHome"):
            allow += " and ProtectHome=no"
        return f"the service may not write there ({setting}); {use}`systemctl edit kei`: {allow}"
    account = service.account()
    obstacle = _first_there(path, folder)
    if account is None or (any(map(folder.is_relative_to, made)) and obstacle != path):
        return None  # the latter: systemd makes the folder, and gives it to the user
    if _may_write(obstacle, account):
        return None
    return (
        f"user {account.name} of the service may not write {obstacle};"
        f" sudo chown {account.name}: {obstacle}"
    )


def _first_there(path: Path, folder: Path) -> Path:
    """Return the file if it is there, or the innermost folder for it that is."""
    if path.exists():
        return path
    return next(each for each in (folder, *folder.parents) if each.exists())


def _may_write(path: Path, account: Account) -> bool:
    """Tell whether an account may write a file or folder, by the permission bits alone."""
    wanted = 0o3 if path.is_dir() else 0o2
    return _has(path, account, wanted) and all(_has(each, account, 0o1) for each in path.parents)


def _has(path: Path, account: Account, bits: int) -> bool:
    if account.uid == 0:
        return True
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == account.uid:
        mode >>= 6
    elif found.st_gid in account.gids:
        mode >>= 3
    return mode & bits == bits
