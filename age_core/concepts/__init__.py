"""Sets of concepts, the CSV files that hold them, and the candidates that words near them are."""
