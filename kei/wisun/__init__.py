"""The Wi-SUN B route: an SKSTACK-IP dongle on a serial port and the PANA session with the meter."""
