"""Packages that not every kei needs: what to tell whoever lacks one."""

from importlib.util import find_spec

_PACKAGES = {"paho": "paho-mqtt", "prometheus_client": "prometheus-client"}  # by module


def missing(*modules: str) -> list[str]:
    """Return those modules that are not installed."""
    return [name for name in modules if find_spec(name) is None]


def install(extra: str) -> str:
    """Return the command that installs the packages of an extra."""
    return f"pip install 'kei[{extra}]'"


def lacking(extra: str, *modules: str) -> str:
    """Return that modules of an extra are missing, and what to do; what runs finds no new ones."""
    names = [_PACKAGES.get(top := name.partition(".")[0], top) for name in modules]
    are = "are" if len(names) > 1 else "is"
    return f"{' and '.join(names)} {are} missing; {install(extra)}, then restart kei if it runs"
