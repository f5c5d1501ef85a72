"""Small crystals and a pair potential for tests of data sets and their sampling."""

from ase.build import bulk
from ase.calculators.lj import LennardJones
from getsei.potentials import sampling


def salt(edge=5.1):
    return bulk("LiCl", "rocksalt", a=edge, cubic=True)


def frame(trajectory="t0", step=0, edge=5.1):
    return sampling.tagged(salt(edge), "crystal", trajectory, step)


def argon():
    return bulk("Ar", "fcc", a=3.6, cubic=True).repeat(2)


def argon_calculator():
    return LennardJones(sigma=2.3, epsilon=0.1, rc=5.0)
