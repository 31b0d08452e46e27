"""The page of this kei for a browser, and its JSON. Reads only; needs the extra `kei[web]`."""
