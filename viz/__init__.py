"""Pictures of arrays and tables. Nothing here imports torch or `age_core`, so no figure can touch a model."""
