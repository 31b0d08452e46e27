"""ECHONET Lite: the frame codec and the table of the smart meter's properties. No I/O."""
