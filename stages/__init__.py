"""One file per DVC stage: read the params, call one function of a plane, write its outputs."""
