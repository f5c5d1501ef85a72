"""MACE models as data: weights in safetensors, the architecture as JSON in its header.

mace-torch saves models as pickles, which run code when they are read. Here the module is rebuilt from named
numbers by mace-torch's own constructor, with the same energies and forces to the last bit.

    python -m getsei.potentials.weights import mace.model own.safetensors   # runs what the pickle holds!
    python -m getsei.potentials.weights export own.safetensors mace.model   # for other programs
"""

import argparse
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.data
import numpy as np

from getsei import provenance, tensors
from getsei.errors import UserError

with warnings.catch_warnings():
    # mace sets an environment variable that e3nn needs to read its own constants, and both warn about it.
    warnings.simplefilter("ignore")
    import mace.modules
    import torch
    from e3nn import o3
    from mace.tools.scripts_utils import extract_config_mace_model

KIND = "ScaleShiftMACE"
SUFFIX = ".safetensors"
DTYPES = {"float32": torch.float32, "float64": torch.float64}
PLAIN = {
    "r_max": float,
    "num_bessel": int,
    "num_polynomial_cutoff": int,
    "max_ell": int,
    "num_interactions": int,
    "num_elements": int,
    "use_reduced_cg": bool,
    "use_so3": bool,
    "use_edge_irreps_first": bool,
    "use_agnostic_product": bool,
    "use_last_readout_only": bool,
    "avg_num_neighbors": float,
    "correlation": int,
    "radial_type": str,
    "apply_cutoff": bool,
    "pair_repulsion": bool,
}
"""Arguments of the constructor that JSON holds as they are."""
LIMITS = {
    "r_max": 20.0,
    "num_bessel": 64,
    "num_polynomial_cutoff": 64,
    "max_ell": 8,
    "num_interactions": 8,
    "num_elements": 118,
    "correlation": 6,
}
"""Larger values are refused: a forged header could otherwise ask for any amount of memory."""
MAX_FEATURES = 10_000


def architecture(module: torch.nn.Module) -> dict[str, Any]:
    """Return what rebuilds a MACE module, as JSON can hold it.

    Raises
    ------
    UserError
        If the module is of a kind that is not covered.
    """
    if type(module).__name__ != KIND:
        raise UserError(f"a {type(module).__name__} cannot be written as safetensors; only a {KIND} can")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = extract_config_mace_model(module)
    odd = [key for key in ("edge_irreps", "cueq_config", "embedding_specs") if config.get(key) is not None]
    if odd or config.get("use_embedding_readout"):
        what = ", ".join(odd) or "an embedding readout"
        raise UserError(f"a model with {what} cannot be written as safetensors")
    found = {key: kind(config[key]) for key, kind in PLAIN.items()}
    gates = [name for name, gate in mace.modules.gate_dict.items() if gate is config["gate"]]
    return found | {
        "interaction_cls": config["interaction_cls"].__name__,
        "interaction_cls_first": config["interaction_cls_first"].__name__,
        "readout_cls": config["readout_cls"].__name__,
        "hidden_irreps": str(config["hidden_irreps"]),
        "MLP_irreps": str(config["MLP_irreps"]),
        "gate": gates[0] if gates else "None",
        "radial_MLP": [int(width) for width in config["radial_MLP"]],
        "distance_transform": config["distance_transform"] or "None",
        "atomic_numbers": [int(number) for number in config["atomic_numbers"]],
        # The weights hold these numbers too; here they tell the shapes, which mace-torch leaves open.
        "atomic_energies": config["atomic_energies"].tolist(),
        "atomic_inter_scale": config["atomic_inter_scale"].tolist(),
        "atomic_inter_shift": config["atomic_inter_shift"].tolist(),
        "heads": [str(head) for head in config["heads"]],
        "dtype": str(next(module.parameters()).dtype).removeprefix("torch."),
    }


def build(facts: Mapping[str, Any]) -> torch.nn.Module:
    """Build the module that `architecture` described, with weights yet to be filled in.

    Raises
    ------
    UserError
        If the description is not one of a MACE model.
    """
    try:
        arguments = {key: kind(facts[key]) for key, kind in PLAIN.items()}
        for key, limit in LIMITS.items():
            if not 0 <= arguments[key] <= limit:
                raise ValueError(f"{key} is {arguments[key]}, at most {limit} is allowed")
        hidden, mlp = o3.Irreps(facts["hidden_irreps"]), o3.Irreps(facts["MLP_irreps"])
        widths = [int(width) for width in facts["radial_MLP"]]
        if max(hidden.dim, mlp.dim, *widths) > MAX_FEATURES or len(facts["heads"]) > MAX_FEATURES:
            raise ValueError(f"more than {MAX_FEATURES} features")
        numbers = [int(number) for number in facts["atomic_numbers"]]
        if not all(1 <= number <= 118 for number in numbers):
            raise ValueError("atomic_numbers beyond 1 to 118")
        heads = [str(head) for head in facts["heads"]]
        arguments |= {
            "interaction_cls": mace.modules.interaction_classes[facts["interaction_cls"]],
            "interaction_cls_first": mace.modules.interaction_classes[facts["interaction_cls_first"]],
            "readout_cls": mace.modules.readout_classes[facts["readout_cls"]],
            "hidden_irreps": hidden,
            "MLP_irreps": mlp,
            "gate": mace.modules.gate_dict[facts["gate"]],
            "radial_MLP": widths,
            "distance_transform": str(facts["distance_transform"]),
            "atomic_numbers": numbers,
            "atomic_energies": np.array(facts["atomic_energies"], dtype=float),
            "atomic_inter_scale": np.array(facts["atomic_inter_scale"], dtype=float),
            "atomic_inter_shift": np.array(facts["atomic_inter_shift"], dtype=float),
            "heads": heads,
        }
        with default_dtype(DTYPES[facts["dtype"]]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e3nn still scripts its modules
            return mace.modules.ScaleShiftMACE(**arguments)
    except Exception as error:  # whatever mace-torch raises at a description that is none
        raise UserError(f"not the architecture of a MACE model ({_reason(error)})") from error


def save(module: torch.nn.Module, path: str | Path) -> None:
    """Write a MACE module as data, after checking that it can be rebuilt.

    Raises
    ------
    UserError
        If the module is of a kind that is not covered.
    """
    facts = architecture(module)
    arrays = {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
    _fill(build(facts), arrays, path)
    tensors.save(path, arrays, facts)


def load(path: str | Path) -> torch.nn.Module:
    """Rebuild a MACE module from its file; nothing in the file is run.

    Raises
    ------
    UserError
        If the file is damaged or holds no MACE model.
    """
    arrays, facts = tensors.load(path)
    try:
        module = build(facts)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return _fill(module, arrays, path)


def elements(path: str | Path) -> tuple[str, ...]:
    """Return the symbols of the elements of a stored model, in its order, without reading the weights."""
    return tuple(ase.data.chemical_symbols[int(number)] for number in tensors.facts(path)["atomic_numbers"])


def _fill(module: torch.nn.Module, arrays: Mapping[str, np.ndarray], path: str | Path) -> torch.nn.Module:
    """Put stored numbers into a module, each of the very shape and kind that it expects."""
    state = module.state_dict()
    wrong = sorted(state.keys() ^ arrays.keys())
    wrong += [name for name in state.keys() & arrays.keys() if tuple(state[name].shape) != arrays[name].shape]
    if wrong:
        raise UserError(f"{path}: its weights do not fit its architecture ({', '.join(wrong[:3])})")
    for name, value in state.items():
        if value.is_floating_point() != np.issubdtype(arrays[name].dtype, np.floating):
            raise UserError(f"{path}: {name} holds {arrays[name].dtype}, expected {value.dtype}")
    # Assigned, not copied: some numbers of a float32 model are stored in float64.
    module.load_state_dict({name: torch.from_numpy(np.array(x)) for name, x in arrays.items()}, assign=True)
    return module


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Give new modules this precision for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _reason(error: Exception) -> str:
    text = f"no {error}" if isinstance(error, KeyError) else str(error)
    return text.splitlines()[0] if text else type(error).__name__


def main(words: list[str] | None = None) -> int:
    """Convert between the data file and the pickled module that other programs read."""
    from getsei.potentials import models  # builds on this module

    parser = argparse.ArgumentParser(prog="python -m getsei.potentials.weights", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("import", "pickled .model to .safetensors; this RUNS whatever the pickle holds"),
        ("export", ".safetensors to a pickled .model"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("source", type=Path)
        command.add_argument("target", type=Path)
    chosen = parser.parse_args(words)
    try:
        if chosen.target.exists():
            raise UserError(f"{chosen.target}: exists already; name another file")
        if chosen.command == "import":
            save(models.read_pickle(chosen.source), chosen.target)
        else:
            partial = chosen.target.with_name(f".{chosen.target.name}.part")
            torch.save(load(chosen.source), partial)
            partial.replace(chosen.target)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{chosen.target}: sha256 {provenance.file_digest(chosen.target)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
