"""Flow store -> training batches on the device."""
