"""Energy of hours, days and months from the meter's half-hour registers. Pure functions, no I/O."""
