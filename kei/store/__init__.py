"""Where readings are kept: the database, the daily text files, and what is made from them."""
