"""A process of its own for every row: its time, its memory, and what becomes of it."""
