"""Figures of gates: who is expected ahead, beside what was seen."""
