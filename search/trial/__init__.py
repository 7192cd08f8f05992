"""One trial: its memory is sized, looked at, trained and judged."""
