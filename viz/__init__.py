"""Pictures of arrays, tables and graphs. Nothing here imports torch or `age_core`, so a figure never touches a model."""
