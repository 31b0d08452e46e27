"""Serial ports: opening them, listing them, and finding out who uses them."""
