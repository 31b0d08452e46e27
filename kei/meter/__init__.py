"""The meter's ECHONET properties as readings."""
