"""Files: written whole or not at all, owners of half-written ones, addresses, small files read whole."""
