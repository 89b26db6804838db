"""HTTP in, HTTP out: a view parses, calls one use case, presents."""
