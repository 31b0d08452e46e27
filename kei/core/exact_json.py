"""JSON with numbers as they are: json.dumps would make a float of a Decimal."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

Value: TypeAlias = "str | int | Decimal | Mapping[str, Value] | Sequence[Value] | None"


def encoded(value: Value) -> str:
    """Return a value as JSON in one line; a Decimal keeps its digits, without an exponent."""
    match value:
        case Decimal():
            return format(value, "f")
        case str() | int() | None:
            return json.dumps(value, ensure_ascii=False)
        case Mapping():
            pairs = (f"{json.dumps(name)}: {encoded(each)}" for name, each in value.items())
            return f"{{{', '.join(pairs)}}}"
        case _:
            return f"[{', '.join(map(encoded, value))}]"
