"""Who people sign in with: Google and Apple, as they are reached over the network."""
