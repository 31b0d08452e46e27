"""What is now, for an MQTT broker and Home Assistant; needs the extra `kei[mqtt]`."""
