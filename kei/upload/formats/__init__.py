"""The formats of uploads: each module of this package is one and has a constant `FORMAT`.

To add one is to add a module: a subclass of `kei.upload.batching.Format` and its `FormatSpec`.
jobs.toml, `kei check` and the sender find it here. Loading it needs neither requests nor SQLite.
"""

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType

from kei.upload.batching import FormatSpec


def _specs() -> Iterator[FormatSpec]:
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        spec = import_module(module.name).FORMAT
        assert isinstance(spec, FormatSpec), f"{module.name}.FORMAT is no FormatSpec"
        yield spec


FORMATS: Mapping[str, FormatSpec] = MappingProxyType(
    {spec.name: spec for spec in sorted(_specs(), key=lambda spec: (spec.order, spec.name))}
)
"""By name, in the order in which messages and documents list them."""
