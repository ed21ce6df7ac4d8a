"""Time, sound and pages of films, for all that is delivered."""
