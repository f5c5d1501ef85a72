"""Crystals and interfaces: from crystal facts to a simulation cell."""
