"""Concept erasure in text-to-image diffusion models with adaptive targets."""
