"""Trained networks: their files, those that come with the program, how large one is."""
