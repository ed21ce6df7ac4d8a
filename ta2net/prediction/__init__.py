"""Video files -> hits, for one film and for many."""
