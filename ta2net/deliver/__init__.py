"""What people look at: made from hits and scores, knowing nothing of how those came about."""
