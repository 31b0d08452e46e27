"""Serial ports: opening one, and finding out which there are and who uses them."""
