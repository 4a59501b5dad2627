"""Run folders: recorded, resumed, bundled, exported; and what came from elsewhere, checked."""
