"""Link quality (LQI) and received power (RSSI): the two ways in which dongles tell the same."""

LQI_DBM_PER_STEP, LQI_DBM_AT_ZERO = 0.275, -104.27  # ROHM's graph of LQI to received power
MAX_LQI = 255.49  # rounded it is a byte; -34 dBm, the most that a J11 module tells, is above 255


def rssi_dbm(lqi: float) -> float:
    """Return the received power in dBm that an LQI of 0..255 stands for, to a tenth."""
    return round(LQI_DBM_PER_STEP * lqi + LQI_DBM_AT_ZERO, 1)


def lqi_of(dbm: int) -> float:
    """Return the LQI that a received power stands for, with the fraction that gives it back."""
    return min(MAX_LQI, max(0.0, (dbm - LQI_DBM_AT_ZERO) / LQI_DBM_PER_STEP))
