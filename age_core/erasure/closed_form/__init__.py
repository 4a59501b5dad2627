"""Erasures that are solved and not trained."""
