"""Who this kei is: `[site]` of jobs.toml."""

import re
import socket

from kei.settings import text_rules
from kei.settings.keys import Derived, Text, key, table


def host_name() -> str:
    """Return the machine's name, with `-` for what a site's name may not have."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()) or "localhost"


@table()
class Site:
    """Who this kei is, for whoever gets data of several."""

    name: str = key(
        Text(text_rules.site_name, "ASCII letters, digits, - _ and ."),
        "What servers know it by: their `source`. Each kei needs one of its own.",
        derived=Derived("the host name", lambda _: host_name()),
        example='"house-07"',
    )
