"""Whether the machine's clock can be trusted, and notification when it is set."""
