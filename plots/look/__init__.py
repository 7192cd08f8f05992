"""Figures from inside a memory, drawn from what `miras look` has written down."""
