"""The map of concepts as a component."""
