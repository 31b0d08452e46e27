"""Link quality (LQI) and received power (RSSI): the two ways in which dongles tell the same."""

LQI_DBM_PER_STEP, LQI_DBM_AT_ZERO = 0.275, -104.27  # ROHM's graph of LQI to received power


def rssi_dbm(lqi: float) -> float:
    """Return the received power in dBm that an LQI of 0..255 stands for, to a tenth."""
    return round(LQI_DBM_PER_STEP * lqi + LQI_DBM_AT_ZERO, 1)


def lqi_of(dbm: int) -> float:
    """Return the LQI of 0..255 that a received power stands for, from which `rssi_dbm` makes it."""
    return min(255.0, max(0.0, (dbm - LQI_DBM_AT_ZERO) / LQI_DBM_PER_STEP))
