"""What pictures and predictions say: verdicts, distances, same-seed pairs, intervals."""
