"""A compiled evaluator for small scalar MACE models."""
