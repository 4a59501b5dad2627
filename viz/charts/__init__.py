"""Figures of arrays and tables, and pieces of the page made of them."""
