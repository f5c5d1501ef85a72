"""Figures: one module per stage."""
