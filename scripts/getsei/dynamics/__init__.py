"""Molecular dynamics: LAMMPS driven through its Python bindings."""
