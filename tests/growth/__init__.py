"""Growth: what requests cost the more recordings there are."""
