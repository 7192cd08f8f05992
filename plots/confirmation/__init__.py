"""Figures and pages of what fresh seeds said about the finds of a search."""
