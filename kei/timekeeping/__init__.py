"""How far the machine's own clock is to be trusted, and what happens when it is set."""
