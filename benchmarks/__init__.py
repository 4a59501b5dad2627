"""What was measured, and how."""

import age_core as age_core  # before Torch, for what it sets (`age_core.environment`)
