"""Pieces that every tab is built of."""
