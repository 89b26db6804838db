"""moto, as the unit tests stand on it: what it breaks is mended, and faults are injected."""
