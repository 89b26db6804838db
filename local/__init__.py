"""What development needs on one machine. Never packaged: nothing here reaches Lambda."""
