"""Interatomic potentials: load, verify and evaluate them; make the embedded one."""
