"""Who works on a study: parents, their workers, and what a person sees of both."""
