r"""Text for people. Foreign text on a terminal: what would steer it is shown instead, as `\x1b`.

Whatever a dongle, a meter, a server or a file name says may hold control characters, which move
the cursor, rename the window or rewrite what stands above. `printable` is applied where text is
put out, not where it comes in, so that what is stored stays as it was.
"""

import json
import re

# C0 and C1 control characters; marks that reorder, join or hide what stands beside them; line and
# paragraph separators; halves of surrogate pairs, which no encoding takes. Letters stay, and so do
# blanks of every width: Japanese text is welcome.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str, *, keep: str = "") -> str:
    r"""Return a text without what steers a terminal: such characters as `\n`, `\x1b`, `\u202e`.

    Args:
        text: any.
        keep: characters that stay, the line ends of a traceback say.
    """
    return _STEERING.sub(lambda found: found[0] if found[0] in keep else _shown(found[0]), text)


def counted(count: int, noun: str) -> str:
    """Return a number and what it counts: `1 day`, `2 days`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shown(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def printable_json(document: str) -> str:
    """Return a JSON document in one line with the same value, in which nothing steers a terminal.

    JSON itself escapes control characters below 0x20 only. Outside of its strings it has none of
    these characters.
    """
    return _STEERING.sub(lambda found: json.dumps(found[0])[1:-1], document)
