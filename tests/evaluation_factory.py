"""Made-up answers of a student and a teacher, in the shape that the evaluation gives them."""

import numpy as np
from getsei.potentials.evaluation import plan

CFG = {
    "elements": ["Li", "P", "S", "Cl"],
    "electrolytes": ["argyrodite"],
    "metal": "Li",
    "products": ["Li2S", "Li3P", "LiCl"],
    "architecture": {"channels": 8, "cutoff_A": 5.0},
    "student_md": {"temperatures_K": [500.0]},
    "rounds": 1,
    "seed": 1,
    "schedules": [{"epochs": 2}],
    "final_schedules": [{"epochs": 3}],
    "evaluation": {"diffusion": {"cases": [{}]}},
}
FORMULAS = {"argyrodite": "Li6PS5Cl", "Li": "Li", "Li2S": "Li2S", "Li3P": "Li3P", "LiCl": "LiCl"}
ENERGIES = {"argyrodite": -4.0, "Li": -1.9, "Li2S": -4.0, "Li3P": -3.5, "LiCl": -3.7}


def estimate(value, unit="cm^2/s"):
    return {
        "value": value,
        "low": 0.8 * value,
        "high": 1.2 * value,
        "unit": unit,
        "n": 24,
        "supported": True,
        "note": "n = ions",
    }


def contacts(attractive_A=0.0):
    distances = np.linspace(0.5, 5.0, 91)
    return {
        pair: {
            "wall_A": 1.0,
            "well_A": 2.4,
            "holds": True,
            "attractive_below_close_A": attractive_A if pair == "Li-S" else 0.0,
            "distances_A": distances.tolist(),
            "energies_eV": (4 / distances**8 - 1 / distances**2).tolist(),
        }
        for pair in ("Li-Li", "Li-S")
    }


def solids(stretch=1.0, shift_eV=0.0):
    return {
        name: {
            "formula": FORMULAS[name],
            "lengths_A": [10.0 * stretch] * 3,
            "volume_A3": 20.0,
            "density_g_per_cm3": 1.8,
            "energy_eV": energy + (shift_eV if name == "Li2S" else 0.0),
            "cohesive_eV": 3.0,
            "bulk_modulus_GPa": 30.0 * stretch,
            "converged": True,
        }
        for name, energy in ENERGIES.items()
    }


def structure():
    r = np.arange(0.05, 6.0, 0.1)
    return {"atoms": 52, "frames": 5, "r_A": r.tolist(), "g": {"Li-S": (1 - np.exp(-(r**4) / 30)).tolist()}}


def reactivity(rate):
    times = np.arange(0.0, 1.01, 0.02)
    series = (1 - np.exp(-rate * times)).tolist()
    return {
        "atoms": 80,
        "times_ps": times.tolist(),
        "bonds": {"P-S": 16},
        "broken": {"P-S": [series, series]},
        "temperature_K": [600.0, 610.0],
    }


def student(**changes):
    stable = {
        "system": "argyrodite",
        "atoms": 260,
        "temperature_K": 600.0,
        "asked_ps": 200.0,
        "time_ps": 200.0,
        "mean_temperature_K": 600.0,
        "max_temperature_K": 650.0,
        "max_force_eV_per_A": 6.0,
        "min_contact_ratio": 0.8,
        "survived": True,
        "ended_by": "",
    }
    answers = {
        plan.CONTACTS: contacts(),
        plan.SPEED: {"atoms": 260, "us_per_atom": {"native": 4.0, "torch": 200.0}, "file_bytes": 320_000},
        plan.SOLIDS: solids(1.004, 0.01),
        "structure-argyrodite": structure(),
        "energy-argyrodite": {
            "atoms": 260,
            "ps": 10.0,
            "timestep_fs": 2.0,
            "drift_meV_per_atom": 0.02,
            "spread_meV_per_atom": 0.01,
            "first_temperature_K": 600.0,
            "last_temperature_K": 650.0,
        },
        "reactivity-argyrodite": reactivity(3.0),
        "stability-argyrodite": [stable],
        "diffusion-0": {
            "exchanged_share": 0.0,
            "dft_cm2_per_s": 4.6e-6,
            "atoms": 416,
            "diffusion": estimate(5e-6),
            "apparent_diffusion": estimate(5e-6),
            "exponent": estimate(1.0, "1"),
            "lags_ps": [0.1, 1.0, 10.0],
            "msd_A2": [1.0, 2.0, 6.0],
            "fit_ps": [5.0, 25.0],
            "ions": 192,
            "ps": 200.0,
            "temperature_K": 500.0,
        },
    }
    return answers | changes


def teacher():
    return {
        plan.CONTACTS: contacts(1.1),
        plan.SOLIDS: solids(),
        "structure-argyrodite": structure(),
        "reactivity-argyrodite": reactivity(2.0),
    }
