"""TA2Net, the method of the paper *Action Dubber: Timing Audible Actions via Inflectional Flow*."""
