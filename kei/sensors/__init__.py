"""Sensors that send lines on serial ports: bytes in, readings out."""
