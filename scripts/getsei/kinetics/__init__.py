"""Kinetics: Koopman operator, its validation, transition paths, error bars."""
