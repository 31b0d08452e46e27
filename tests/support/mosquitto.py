"""A real MQTT broker; for scripts as well, so that it loads little."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from programs import wait_until

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


@contextmanager
def mosquitto(folder: Path, *settings: str) -> Iterator[int]:
    """A real broker; yields its port."""
    assert MOSQUITTO is not None
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / f"mosquitto-{port}.conf"
    lines = (f"listener {port} 127.0.0.1", *(settings or ("allow_anonymous true",)))
    user = pwd.getpwuid(os.geteuid()).pw_name  # or else root's broker cannot read our files
    config.write_text("\n".join((f"user {user}", *lines, "")))
    with subprocess.Popen([MOSQUITTO, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _accepts(port), 10, "mosquitto ready")
            yield port
        finally:
            process.kill()


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
