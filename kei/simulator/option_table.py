"""Options by name, on a command line and behind the colon of a port alike."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar

from kei.core.errors import ConfigError

T = TypeVar("T")


class OptionTable(Generic[T]):
    """What one kind of simulation can be told.

    Args:
        settings: every option with a value, by its name; each puts its text into the options, or
            raises `ConfigError`.
        flags: every option without a value.
        repeatable: names of those that may be given many times.
        check: raises `ConfigError` for options that do not go together.
    """

    def __init__(
        self,
        settings: Mapping[str, Callable[[T, str], T]],
        flags: Mapping[str, Callable[[T], T]],
        repeatable: frozenset[str] = frozenset(),
        check: Callable[[T], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.flags = flags
        self._repeatable = repeatable
        self._check = check

    def apply(self, options: T, items: Iterable[tuple[str, str | None]]) -> T:
        """Return the options with settings put in.

        Args:
            options: what to start from.
            items: names and texts; None where an option was given without a value.

        Raises:
            ConfigError: every mistake in them, one line each.
        """
        mistakes: list[str] = []
        seen: set[str] = set()
        for name, text in items:
            try:
                if name in seen and name not in self._repeatable:
                    raise ConfigError([f"'{name}' is given twice"])
                options = self._put(options, name, text)
            except ConfigError as error:
                mistakes += error.faults
            seen.add(name)
        if mistakes:
            raise ConfigError(mistakes)
        self._check(options)
        return options

    def parse_port(self, prefix: str, text: str, options: T) -> T:
        """Return the options with those of a port put in.

        Args:
            prefix: what the port begins with, colon included.
            text: the port, options separated by commas behind the prefix.
            options: what to start from.

        Raises:
            ConfigError: every mistake in it, one line each.
        """
        if not text.startswith(prefix):
            raise ConfigError([f"port '{text}' does not begin with '{prefix}'"])
        try:
            return self.apply(options, _items(text.removeprefix(prefix)))
        except ConfigError as error:
            raise ConfigError([f"port '{prefix}...': {line}" for line in error.faults]) from None

    def _put(self, options: T, name: str, text: str | None) -> T:
        if name in self.flags:
            if text is not None:
                raise ConfigError([f"'{name}' takes no value"])
            return self.flags[name](options)
        if name in self.settings:
            if text is None:
                raise ConfigError([f"'{name}' needs a value: {name}=..."])
            return self.settings[name](options, text)
        known = [*self.settings, *self.flags]
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
        raise ConfigError([f"unknown option '{name}', {hint}"])


def _items(text: str) -> Iterator[tuple[str, str | None]]:
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, value = item.partition("=")
        yield name.strip(), value.strip() if equals else None
