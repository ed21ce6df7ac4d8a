"""From the network's scores to hits, and how good they are."""
