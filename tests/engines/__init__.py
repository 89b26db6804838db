"""The suite on real engines, beside the gate: `make engines`."""
