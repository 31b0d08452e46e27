#!/usr/bin/env python3
"""Draw what a command printed as a picture of a terminal (SVG), for the documents.

    kei status | scripts/terminal_svg.py --command "kei status" > docs/images/status.svg

It needs nothing but Python.
"""

import argparse
import html
import re
import sys
from collections.abc import Sequence

CHARACTER, LINE, SIZE = 8.4, 19, 14  # of a monospaced font of 14 px; widths are forced
MARGIN, HEAD = 18, 36
BACKGROUND, FRAME, TEXT, PROMPT = "#1b1f24", "#444c56", "#d6dde4", "#7ee787"
BUTTONS = ("#ff5f57", "#febc2e", "#28c840")
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"


def draw(command: str, lines: Sequence[str]) -> str:
    """Return the SVG document."""
    shown = [f"$ {command}", *lines]
    width = round(max(map(len, shown)) * CHARACTER) + 2 * MARGIN
    height = HEAD + len(shown) * LINE + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="output of {html.escape(command)}" '
        f'font-family="{FONT}" font-size="{SIZE}" fill="{TEXT}">'
    )
    frame = (
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8" '
        f'fill="{BACKGROUND}" stroke="{FRAME}"/>'
    )
    parts = [
        f'<circle cx="{MARGIN + 4 + 18 * number}" cy="18" r="5.5" fill="{colour}"/>'
        for number, colour in enumerate(BUTTONS)
    ]
    for number, line in enumerate(shown):
        ink = f' fill="{PROMPT}"' if number == 0 else ""
        # Each column at a place of its own: programs that draw disagree about several spaces.
        parts += [
            f'<text x="{MARGIN + column.start() * CHARACTER:.1f}" '
            f'y="{HEAD + (number + 1) * LINE - 5}"{ink} '
            f'textLength="{len(column[0]) * CHARACTER:.1f}" lengthAdjust="spacingAndGlyphs">'
            f"{html.escape(column[0], quote=False)}</text>"
            for column in re.finditer(r"\S+(?: \S+)*", line)
        ]
    return "\n".join([head, frame, *parts, "</svg>", ""])


def main() -> int:
    """Draw what comes on standard input; the exit code is 1 when nothing does."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="The output is read from standard input, the SVG goes to standard output.",
    )
    parser.add_argument("--command", required=True, help="what was typed, for the first line")
    options = parser.parse_args()
    lines = sys.stdin.read().expandtabs().splitlines()
    if not lines:
        print("nothing on standard input to draw", file=sys.stderr)
        return 1
    sys.stdout.write(draw(options.command, lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
