"""From the flow store to a trained checkpoint."""
