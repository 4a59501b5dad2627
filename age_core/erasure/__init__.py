"""How a concept is erased: the objective, target selectors, the one loop, the table of methods."""
