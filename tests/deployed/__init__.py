"""What `make deployed` does: a stage is deployed on an emulator, and driven as its users do."""
