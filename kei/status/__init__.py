"""How a kei is: the facts, and the rules by which all is well."""
