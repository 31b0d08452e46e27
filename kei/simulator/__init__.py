"""A simulated Wi-SUN dongle with a smart meter and a household behind it, and a board with sensors.

`port` serves a device on a pseudo terminal: a `dongle` (SK commands, radio, PANA session) or a
`j11` module (binary frames), which share the `air`, and whose `meter` (ECHONET Lite) measures a
`household`; a `replay` of a transcript; or the `board`. Only `port` and `control` do I/O; the
others get the time passed in.
"""
