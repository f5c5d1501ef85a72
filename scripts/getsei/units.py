"""Physical constants and conversions in LAMMPS ``metal`` units (Å, eV, ps, K, bar, g/mol).

Values are CODATA 2018 (https://physics.nist.gov/cuu/Constants).
"""

BOLTZMANN_eV_per_K = 8.617333262e-5
COULOMB_eV_A = 14.399645478
"""e^2 / (4 pi eps0) in eV Å."""

FS_PER_PS = 1000.0
PS_PER_NS = 1000.0
A2_PER_NM2 = 100.0
A2_PER_PS_TO_CM2_PER_S = 1.0e-4
"""1 Å²/ps = 1e-16 cm² / 1e-12 s = 1e-4 cm²/s."""

EV_PER_A3_TO_BAR = 1.602176634e6
