"""Figures and page of demonstrations: what memories alone made of streams."""
