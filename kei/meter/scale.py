"""What a meter's counts of energy mean: learnt from its answers, or assumed where it is silent."""

from decimal import Decimal

from kei.echonet.meter_class import (
    COEFFICIENT_WHERE_ABSENT,
    EPC_COEFFICIENT,
    EPC_ENERGY_UNIT,
    Scale,
    scale_number,
)
from kei.wisun.interfaces import Answer

FIRST_EPCS = (EPC_COEFFICIENT, EPC_ENERGY_UNIT)  # asked right after joining


class ScaleLearner:
    """Learns coefficient (D3) and unit (E1) of the meter that has been joined.

    A meter without D3 counts with 1, and one without E1 in the unit of jobs.toml, if that has one.
    What the meter says itself always wins.

    Args:
        unit_where_absent: kWh of one count of a meter without E1; None if nobody knows.

    Attributes:
        scale: what turns counts into kWh; None until it is known.
        lacks_unit: whether the meter has been found to have no E1.
        is_unit_assumed: whether the unit is not the meter's own.
    """

    def __init__(self, unit_where_absent: Decimal | None) -> None:
        self._unit_where_absent = unit_where_absent
        self.begin(None)

    def begin(self, known: Scale | None) -> None:
        """Start anew with another meter, of which this is known from earlier."""
        self._coefficient = known.coefficient if known else None
        self._unit = known.unit if known else None
        self._is_coefficient_assumed = False
        self.is_unit_assumed = self.lacks_unit = False
        self.scale = known

    def wanted(self, readable: frozenset[int] | None) -> tuple[int, ...]:
        """Return what the meter still has to be asked.

        Args:
            readable: what it has by its property map; None if that is not known.
        """
        has_map = readable is not None
        may_have = set(FIRST_EPCS) if readable is None else readable
        wanted = {
            EPC_COEFFICIENT: self._coefficient is None
            or (self._is_coefficient_assumed and has_map),
            EPC_ENERGY_UNIT: self._unit is None or (self.is_unit_assumed and has_map),
        }
        return tuple(epc for epc, is_wanted in wanted.items() if is_wanted and epc in may_have)

    def learn(self, answer: Answer, readable: frozenset[int] | None, *, may_have_map: bool) -> None:
        """Take what an answer says.

        Args:
            answer: the meter's.
            readable: what it has by its property map; None if that is not known.
            may_have_map: whether the map is still being asked for.
        """
        given = answer.properties
        if EPC_COEFFICIENT in given:
            number = scale_number(EPC_COEFFICIENT, given[EPC_COEFFICIENT])
            if number is not None:
                self._coefficient, self._is_coefficient_assumed = int(number), False
        elif self._coefficient is None:
            # A meter that refuses everything may just be busy.
            is_busy = not given and may_have_map
            if _lacks(EPC_COEFFICIENT, answer, readable) and not is_busy:
                self._coefficient, self._is_coefficient_assumed = COEFFICIENT_WHERE_ABSENT, True
        if EPC_ENERGY_UNIT in given:
            if number := scale_number(EPC_ENERGY_UNIT, given[EPC_ENERGY_UNIT]):  # it is never 0
                self._unit, self.is_unit_assumed = number, False
        elif self._unit is None and not may_have_map:
            # Other than D3, where one value is by far the most likely, this has to be certain.
            self.lacks_unit = self.lacks_unit or _lacks(EPC_ENERGY_UNIT, answer, readable)
            if self.lacks_unit and self._unit_where_absent is not None:
                self._unit, self.is_unit_assumed = self._unit_where_absent, True
        if self._coefficient is not None and self._unit is not None:
            self.scale = Scale(self._coefficient, self._unit)


def _lacks(epc: int, answer: Answer, readable: frozenset[int] | None) -> bool:
    return epc in answer.refused if readable is None else epc not in readable
