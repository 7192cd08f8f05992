"""From what a search has done so far to the next candidate."""
