"""Pure core: arrays in, arrays out. No files, network, clock, environment or global random state."""
