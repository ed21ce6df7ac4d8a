"""Side by side in one run, as ratios: machines are shared and noisy, so nothing here is asserted on time."""
