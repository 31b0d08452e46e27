"""A simulated J11 module (BP35C0-J11, BP35C2-J11, RS-WSUHA-J11), which speaks binary frames."""
