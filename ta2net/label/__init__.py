"""Labels to train on: from a video's own sound, or from marks that somebody set in an editor."""
