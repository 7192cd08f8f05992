"""Figures of gates: who should solve what, beside what was seen."""
