"""A virtual Wi-SUN dongle with a smart meter and a household behind it.

Inside, from the wire to the home: `pty` serves a client on a pseudo terminal, `dongle` speaks
SKSTACK-IP, `radio` and `session` stand for the air and the PANA session, `meter` answers
ECHONET Lite, `household` says what is being used. From `dongle` on nothing does I/O, and the time
is handed in.
"""
