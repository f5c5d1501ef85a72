"""A MACE model as LAMMPS reads it by itself, without getsei.

    python -m getsei.potentials.lammps_files own.safetensors own-mliap.pt
    python -m getsei.potentials.lammps_files --style mace own.safetensors own-mace.pt

The first is for ``pair_style mliap unified`` (a LAMMPS with ML-IAP and Python), the second for
``pair_style mace`` (the branch of the authors of MACE). The files are pickles and TorchScript: who reads one
runs what it holds.
"""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Literal

from getsei import provenance
from getsei.errors import UserError
from getsei.potentials import models

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # e3nn scripts its modules
    import torch
    from e3nn.util import jit
    from mace.calculators import LAMMPS_MACE
    from mace.calculators.lammps_mliap_mace import LAMMPS_MLIAP_MACE

Style = Literal["mliap", "mace"]
STYLES = ("mliap", "mace")


def convert(module: torch.nn.Module, style: Style, dtype: str = "float64") -> torch.nn.Module:
    """Return a MACE module wrapped for a pair style of LAMMPS; the module itself is converted in place.

    Parameters
    ----------
    module : torch.nn.Module
        From `getsei.potentials.models.read_mace`.
    style : {"mliap", "mace"}
    dtype : {"float32", "float64"}
        Of the arithmetic.

    Raises
    ------
    UserError
        If the model has several heads: LAMMPS asks for no head.
    """
    heads = list(getattr(module, "heads", ["Default"]))
    if len(heads) > 1:
        raise UserError(f"the model has the heads {', '.join(heads)}; export one with mace_select_head first")
    module = module.to(models.DTYPES[dtype]).to("cpu")
    before = torch.get_default_dtype()
    torch.set_default_dtype(models.DTYPES[dtype])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if style == "mliap":
                module.lammps_mliap = True
                return LAMMPS_MLIAP_MACE(module, head=heads[0])
            return jit.compile(LAMMPS_MACE(module, head=heads[0]))
    finally:
        torch.set_default_dtype(before)


def write(source: Path, target: Path, style: Style, dtype: str = "float64", **vouched: object) -> None:
    """Write a model file for LAMMPS, whole or not at all.

    Parameters
    ----------
    source, target : Path
    style : {"mliap", "mace"}
    dtype : {"float32", "float64"}
    **vouched
        ``sha256`` or ``trust`` of a pickled source.

    Raises
    ------
    UserError
        If the target exists, or the source is no model that can be read.
    """
    if target.exists():
        raise UserError(f"{target}: exists already; name another file")
    made = convert(models.read_mace(source, **vouched), style, dtype)
    partial = target.with_name(f".{target.name}.part")
    if style == "mliap":
        torch.save(made, partial)
    else:
        made.save(str(partial))
    partial.replace(target)


def lines(target: Path, style: Style, elements: tuple[str, ...]) -> list[str]:
    """Return the lines of a LAMMPS input that use a file."""
    if style == "mliap":
        return [f"pair_style mliap unified {target} 0", f"pair_coeff * * {' '.join(elements)}"]
    return [
        "pair_style mace no_domain_decomposition",
        f"pair_coeff * * {target} {' '.join(elements)}",
    ]


def main(words: list[str] | None = None) -> int:
    """Write a MACE model as a file that LAMMPS reads."""
    parser = argparse.ArgumentParser(
        prog="python -m getsei.potentials.lammps_files", description=main.__doc__
    )
    parser.add_argument(
        "source", type=Path, help=".safetensors, or a pickled .model with --sha256 or --trust"
    )
    parser.add_argument("target", type=Path)
    parser.add_argument("--style", choices=STYLES, default="mliap")
    parser.add_argument("--dtype", choices=tuple(models.DTYPES), default="float64")
    parser.add_argument("--sha256", help="what a pickled source must hash to")
    parser.add_argument("--trust", action="store_true", help="read a pickled source without that")
    chosen = parser.parse_args(words)
    try:
        write(
            chosen.source,
            chosen.target,
            chosen.style,
            chosen.dtype,
            sha256=chosen.sha256,
            trust=chosen.trust,
        )
        known = models.known_elements(
            models.read_mace(chosen.source, sha256=chosen.sha256, trust=chosen.trust)
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{chosen.target}: sha256 {provenance.file_digest(chosen.target)}")
    print("In a LAMMPS input, elements in the order of the atom types:")
    print("\n".join(f"  {line}" for line in lines(chosen.target, chosen.style, known)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
