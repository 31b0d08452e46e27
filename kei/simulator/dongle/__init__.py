"""The simulated Wi-SUN dongle."""
