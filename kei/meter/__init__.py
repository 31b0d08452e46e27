"""Between ECHONET properties and readings."""
