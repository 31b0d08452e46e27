"""The MQTT line of an engine: what keeps the broker of `[mqtt]` told, or nothing."""

import random
from typing import TYPE_CHECKING

from kei.app.workers import Workers
from kei.mqtt.sources import Sources
from kei.mqtt.status import MqttStatus
from kei.settings.config import Config
from kei.settings.mqtt import Mqtt

if TYPE_CHECKING:
    from kei.mqtt.publisher import Publisher

MQTT_THREAD = "mqtt"
MQTT_LIMIT_S = 1.0  # a name look-up that hangs is left alone


class MqttLine:
    """Keeps a broker told. Used by one thread, if not said otherwise.

    Args:
        sources: what is told.
        workers: the threads.
        rng: for jitter.
    """

    def __init__(self, sources: Sources, workers: Workers, rng: random.Random) -> None:
        self._sources = sources
        self._workers = workers
        self._rng = rng
        self._origin: tuple[Mqtt | None, str] = (None, "")
        self._publisher: Publisher | None = None

    def change_to(self, config: Config) -> None:
        """Tell another broker, or under another name; a connection that stays right goes on."""
        wanted = (config.mqtt, "" if config.mqtt is None else config.site.name)
        if wanted == self._origin:
            return
        self._workers.stop(MQTT_THREAD, limit_s=MQTT_LIMIT_S)
        self._origin, self._publisher = wanted, None
        if config.mqtt is not None:
            # No part of a kei that tells no broker.
            from kei.mqtt.publisher import Publisher  # noqa: PLC0415

            self._publisher = Publisher(config.mqtt, config.site.name, self._sources, self._rng)
            self._workers.start(MQTT_THREAD, self._publisher)

    def status(self) -> MqttStatus | None:
        """Return how the connection is; None without `[mqtt]`. Any thread."""
        publisher = self._publisher
        return None if publisher is None else publisher.status()
