"""Trajectories: one binary store, whatever they came from."""
