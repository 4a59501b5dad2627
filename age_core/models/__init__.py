"""A pipeline and what belongs to it: its family, noise, sampling, probes, and erasers of its weights."""
