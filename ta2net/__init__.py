"""The model plane: from the flow store to hits. It never opens a video itself."""
