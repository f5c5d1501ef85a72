"""Writes one made-up trajectory in every format that can be read.

Positions lie on a grid of 0.01 Å, the precision of an XTC file, so that every format holds the same numbers.
"""

import dataclasses

import h5py
import numpy as np
from ase import Atoms
from ase.io import write
from ase.io.trajectory import TrajectoryWriter
from getsei import cells, records
from getsei.trajectory import readers
from getsei.trajectory.intake import survey
from getsei.trajectory.timing import Options

GRID_A = 0.01
FRAME_PS = 0.1
TIMESTEP_FS = 2.0
STEPS_PER_FRAME = 50
ELEMENTS = ("Li", "P", "S")
"""Elements of the numeric types 1, 2, 3."""
TRICLINIC = np.array([[11.0, 0.0, 0.0], [3.0, 10.5, 0.0], [-2.0, 1.5, 12.0]])


@dataclasses.dataclass(frozen=True)
class Made:
    """Wrapped and unwrapped positions (n_frames, n_atoms, 3) and cells (n_frames, 3, 3) in Å, and the atoms.

    `turns` are the image flags: how often an atom has left the cell along each vector.
    """

    positions: np.ndarray
    wrapped: np.ndarray
    turns: np.ndarray
    cells: np.ndarray
    species: np.ndarray

    @property
    def types(self):
        return np.array([ELEMENTS.index(s) + 1 for s in self.species])

    def frames(self, chosen):
        """Return some frames, by slice or indices."""
        arrays = (self.positions, self.wrapped, self.turns, self.cells)
        return Made(*(array[chosen] for array in arrays), self.species)

    def atoms(self, order):
        """Return the atoms in another order."""
        arrays = (self.positions, self.wrapped, self.turns)
        return Made(*(array[:, order] for array in arrays), self.cells, self.species[order])


def make(n_frames=30, cell=TRICLINIC, breathing=0.0, seed=0, step_A=0.3):
    """Atoms on a jittered lattice; lithium walks far enough to cross the boundaries, the rest rattles.

    With `breathing`, the cell changes with time.
    """
    rng = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) / 4 + 0.1
    species = np.array([("Li", "S", "Li", "P")[i % 4] for i in range(len(sites))])
    mobile = species == "Li"
    scale = 1 + breathing * np.sin(np.arange(n_frames) / 3.0)
    box = np.round(scale[:, None, None] * cell / GRID_A) * GRID_A
    steps = (rng.normal(scale=step_A, size=(n_frames, len(sites), 3)) + 0.02) * mobile[:, None]
    rattle = rng.normal(scale=0.04, size=steps.shape)
    fractional = sites + (np.cumsum(steps, 0) + rattle) @ np.linalg.inv(cell)
    turns = np.floor(fractional).astype(int)
    wrapped = np.round((fractional - turns) @ box / GRID_A) * GRID_A
    free = cells.unwrap(wrapped, box) if breathing else wrapped + turns @ box
    return Made(free, wrapped, turns, box, species)


def steps_of(made, first=0):
    return (first + np.arange(len(made.positions))) * STEPS_PER_FRAME


def lammps(path, made, columns="x", element=False, shuffle=False, first=0, opener=open, digits=10):
    """Write a dump with columns x, xs, xu, xsu, or x or xs with image flags (`x+i`, `xs+i`)."""
    rng = np.random.default_rng(1)
    kind = columns.removesuffix("+i")
    names = [kind, kind.replace("x", "y"), kind.replace("x", "z")]
    images = ["ix", "iy", "iz"] if columns.endswith("+i") else []
    head = ["id", "element" if element else "type", *names, *images]
    with opener(path, "wt") as handle:
        frames = zip(steps_of(made, first), made.wrapped, made.turns, made.cells, strict=True)
        for step, wrapped, turns, cell in frames:
            (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell
            low = [min(0, xy, xz, xy + xz), min(0, yz), 0.0]
            high = [lx + max(0, xy, xz, xy + xz), ly + max(0, yz), lz]
            values = wrapped + turns @ cell if "u" in kind else wrapped
            values = values @ np.linalg.inv(cell) if "s" in kind else values
            tilted = " xy xz yz" if np.any([xy, xz, yz]) else ""
            handle.write(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(values)}\n")
            handle.write(f"ITEM: BOX BOUNDS{tilted} pp pp pp\n")
            for a, b, tilt in zip(low, high, (xy, xz, yz), strict=True):
                handle.write(f"{a:.10f} {b:.10f}" + (f" {tilt:.10f}" if tilted else "") + "\n")
            handle.write(f"ITEM: ATOMS {' '.join(head)}\n")
            order = rng.permutation(len(values)) if shuffle else np.arange(len(values))
            for atom in order:
                row = [str(atom + 1), made.species[atom] if element else str(made.types[atom])]
                row += [f"{x:.{digits}f}" for x in values[atom]]
                row += [str(int(turn)) for turn in turns[atom]] if images else []
                handle.write(" ".join(row) + "\n")
    return path


def data_file(path, made):
    """Write a LAMMPS data file with masses."""
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = made.cells[0]
    text = f"made up\n\n{len(made.species)} atoms\n3 atom types\n\n0 {lx} xlo xhi\n0 {ly} ylo yhi\n"
    text += f"0 {lz} zlo zhi\n{xy} {xz} {yz} xy xz yz\n\nMasses\n\n1 6.94\n2 30.974 # P\n3 32.06\n\n"
    text += "Atoms # atomic\n\n"
    for atom, (kind, r) in enumerate(zip(made.types, made.wrapped[0], strict=True), start=1):
        text += f"{atom} {kind} {r[0]} {r[1]} {r[2]}\n"
    path.write_text(text + "\n")
    return path


def atoms_of(made, wrapped=False):
    """Return the frames as ASE atoms."""
    positions = made.wrapped if wrapped else made.positions
    return [
        Atoms(made.species, positions=p, cell=c, pbc=True) for p, c in zip(positions, made.cells, strict=True)
    ]


def extxyz(path, made, wrapped=True, **info):
    images = atoms_of(made, wrapped)
    for image in images:
        image.info.update(info)
    write(path, images, format="extxyz")
    return path


def ase_traj(path, made, wrapped=True):
    with TrajectoryWriter(path, "w") as writer:
        for image in atoms_of(made, wrapped):
            writer.write(image)
    return path


def grouped(made):
    """Return elements, counts and the order that groups atoms by element, as VASP wants it."""
    order = np.argsort(made.types, kind="stable")
    return ELEMENTS, [int((made.species == e).sum()) for e in ELEMENTS], order


def by_element(made):
    """Return the same trajectory with its atoms grouped by element."""
    return made.atoms(grouped(made)[2])


def xdatcar(path, made, species_line=True, variable=False, opener=open):
    elements, counts, order = grouped(made)
    with opener(path, "wt") as handle:
        for frame, (free, cell) in enumerate(zip(made.wrapped, made.cells, strict=True), start=1):
            if frame == 1 or variable:
                handle.write("made up\n   1.0\n")
                handle.writelines(" ".join(f"{x:.8f}" for x in row) + "\n" for row in cell)
                if species_line:
                    handle.write(" ".join(elements) + "\n")
                handle.write(" ".join(map(str, counts)) + "\n")
            handle.write(f"Direct configuration= {frame:5d}\n")
            fractional = (free @ np.linalg.inv(cell))[order]
            fractional -= np.floor(fractional)
            handle.writelines(" ".join(f"{x:.10f}" for x in row) + "\n" for row in fractional)
    return path


def vasprun(path, made, ibrion=0):
    order = grouped(made)[2]
    species = made.species[order]
    rows = "".join(f"<rc><c>{s} </c><c>{ELEMENTS.index(s) + 1}</c></rc>" for s in species)
    text = f"""<?xml version="1.0" encoding="ISO-8859-1"?><modeling>
<incar><i type="int" name="IBRION"> {ibrion}</i><i name="POTIM"> {FRAME_PS * 1000}</i></incar>
<atominfo><atoms> {len(species)}</atoms><array name="atoms"><set>{rows}</set></array></atominfo>\n"""
    for free, cell in zip(made.wrapped, made.cells, strict=True):
        fractional = (free @ np.linalg.inv(cell))[order]
        fractional -= np.floor(fractional)
        basis, places = (
            "".join("<v> " + " ".join(f"{x:.10f}" for x in row) + " </v>\n" for row in table)
            for table in (cell, fractional)
        )
        text += f"""<calculation><scstep><energy><i name="e_fr_energy"> -9 </i></energy></scstep>
<structure><crystal><varray name="basis">{basis}</varray></crystal>
<varray name="positions">{places}</varray></structure>
<energy><i name="e_fr_energy"> -100.5 </i></energy></calculation>\n"""
    path.write_text(text + "</modeling>\n")
    return path


def dcd(path, made):
    from mdtraj.formats import DCDTrajectoryFile

    parameters = np.array([Atoms(cell=cell).cell.cellpar() for cell in made.cells])
    with DCDTrajectoryFile(str(path), "w") as handle:
        handle.write(
            made.wrapped.astype(np.float32), cell_lengths=parameters[:, :3], cell_angles=parameters[:, 3:]
        )
    return path


def xtc(path, made):
    from mdtraj.formats import XTCTrajectoryFile

    n_frames = len(made.positions)
    with XTCTrajectoryFile(str(path), "w") as handle:
        handle.write(
            (made.wrapped / 10).astype(np.float32),
            time=np.arange(n_frames, dtype=np.float32) * FRAME_PS,
            step=steps_of(made),
            box=(made.cells / 10).astype(np.float32),
        )
    return path


def h5md(path, made, images=False, species="enum", time=True):
    with h5py.File(path, "w") as handle:
        group = handle.create_group("particles/all")
        position = group.create_group("position")
        position.create_dataset("value", data=made.wrapped)
        position["value"].attrs["unit"] = "Angstrom"
        position.create_dataset("step", data=steps_of(made))
        if time:
            position.create_dataset("time", data=np.arange(len(made.positions)) * FRAME_PS)
            position["time"].attrs["unit"] = "ps"
        box = group.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = ["periodic"] * 3
        box.create_group("edges").create_dataset("value", data=made.cells)
        if images:
            group.create_group("image").create_dataset("value", data=made.turns)
        numbers = made.types
        kind = {e: i + 1 for i, e in enumerate(ELEMENTS)}
        if species == "enum":
            group.create_dataset("species", data=numbers, dtype=h5py.enum_dtype(kind, basetype="i4"))
        elif species == "numbers":
            group.create_dataset("species", data=Atoms(made.species).numbers)
        else:
            group.create_dataset("species", data=numbers)
    return path


def store(path, made):
    n_frames = len(made.positions)
    changing = bool(np.ptp(made.cells, axis=0).any())
    offsets = made.wrapped - made.positions
    records.Trajectory(
        positions=made.positions.astype(np.float32),
        cells=made.cells if changing else made.cells[:1],
        species=made.species,
        stage=np.zeros(n_frames, dtype=np.uint8),
        segments=np.array([[0, n_frames]]),
        temperature=np.full(n_frames, np.nan),
        potential_energy=np.full(n_frames, np.nan),
        stages=["produce"],
        frame_interval_ps=FRAME_PS,
        provenance={},
        offsets=(offsets if changing else np.zeros((1, 1, 3))).astype(np.float32),
    ).save(path)
    return path


TELL = Options(timestep_fs=TIMESTEP_FS)
ASK = Options(frame_interval_fs=1000 * FRAME_PS)


def look(paths, options=TELL, types=ELEMENTS, topology=None):
    """Return what is found in the files of one trajectory."""
    return survey([readers.open_source(path, "auto", types, topology) for path in paths], options)


def cut(path, keep=0.9):
    """Truncate a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path
