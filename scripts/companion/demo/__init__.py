"""The demonstration: a real job on the real opencode, answered by a scripted model on loopback."""
