"""Spaces: memories with holes, what may fill them, and how many memories they hold."""
