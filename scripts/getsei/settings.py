"""The configuration: merge and validate.

`workflow/schemas/config.schema.yaml` is the one source of types, ranges, defaults and descriptions.
"""

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema
import yaml

from getsei.errors import UserError
from getsei.resources import SHARED

SCHEMA = SHARED / "workflow" / "schemas" / "config.schema.yaml"
STAGES = (
    "potential",
    "trajectory",
    "interface",
    "md",
    "environments",
    "gcl",
    "states",
    "kinetics",
    "tpt",
    "transport",
)
MAX_DEPTH = 20
"""Deeper nesting than any configuration has."""
MAX_PROBLEMS = 20
WHOLE_TOLERANCE = 1e-6
"""How far a ratio of two times may be from a whole number."""


def load_schema() -> dict[str, Any]:
    """Return the schema of the configuration."""
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def resolve(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the complete settings of every system.

    Parameters
    ----------
    config : mapping
        The configuration as read from YAML.

    Returns
    -------
    dict
        System name to settings: the schema's defaults, overridden by `defaults`, overridden by the
        system's own entry. Only the systems that `run` names, if it is there. A system with several mobile
        elements is followed by one for each of them, `name_li`, whose key `sampled_by` names the system
        whose trajectories it analyses.

    Raises
    ------
    UserError
        If a key is unknown, of the wrong type or out of range, or if two keys contradict each other.
        The message names each offending key and what is allowed.
    """
    schema = load_schema()
    _check(config, schema)
    base = default_settings(schema)
    shared = _merged(base, config.get("defaults") or {})
    chosen = config.get("run") or list(config["systems"])
    unknown = [name for name in chosen if name not in config["systems"]]
    if unknown:
        known = ", ".join(config["systems"])
        raise UserError(f"run: there is no system {', '.join(unknown)}; there are {known}")
    systems = {name: _merged(shared, config["systems"][name] or {}) for name in chosen}
    systems |= _by_ion(systems)
    problems = once({name: list(_contradictions(name, system)) for name, system in systems.items()})
    problems += _unlike_sharers(systems)
    if problems:
        raise UserError("the configuration contradicts itself:\n" + "\n".join(f"  {p}" for p in problems))
    return systems


def _by_ion(systems: Mapping[str, Any]) -> dict[str, Any]:
    """Return a system for each mobile element of those that have several: the same run, one kind of ion."""
    found = {}
    for name, system in systems.items():
        for ion in system["mobile"] if len(system["mobile"]) > 1 else []:
            single = f"{name}_{ion.lower()}"
            if single in systems:
                raise UserError(
                    f"systems.{single}: the analysis of {ion} in {name} has this name too; rename one"
                )
            found[single] = {**copy.deepcopy(system), "mobile": [ion], "sampled_by": name}
    return found


def once(problems: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the problems of all systems, saying only once what several share."""
    systems: dict[str, list[str]] = {}
    for name, found in problems.items():
        for problem in found:
            systems.setdefault(problem.removeprefix(f"systems.{name}"), []).append(name)
    return [
        f"systems.{names[0]}{f' (and {len(names) - 1} more)' if len(names) > 1 else ''}{problem}"
        for problem, names in systems.items()
    ]


def default_settings(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults that the schema gives for the settings of a system."""
    return _defaults(schema["$defs"]["settings"])


def of_training(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings `potential_training`, what they leave out taken from the schema."""
    return _merged(_defaults(load_schema()["$defs"]["potential_training"]), config["potential_training"])


def of_system(**changes: Any) -> dict[str, Any]:
    """Return the settings of one system for use without a configuration file.

    Parameters
    ----------
    **changes
        What differs from the defaults, as in an entry of `systems`: ``mobile=["Na"]``,
        ``kinetics={"lag_ps": 2.0}``.

    Raises
    ------
    UserError
        If a key is unknown, of the wrong type or out of range.
    """
    schema = load_schema()
    _check({"systems": {"system": changes}, "potential_training": {}}, schema)
    return _merged(default_settings(schema), changes)


def _defaults(node: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, child in node.get("properties", {}).items():
        if "default" in child:
            found[key] = copy.deepcopy(child["default"])
        elif "properties" in child:
            found[key] = _defaults(child)
    return found


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _check(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    problems = list(itertools.islice(_unreadable(config, ""), MAX_PROBLEMS))
    if not problems:
        validator = jsonschema.Draft202012Validator(schema)
        errors = sorted(validator.iter_errors(config), key=lambda error: [str(part) for part in error.path])
        problems = list(dict.fromkeys(line for error in errors for line in _explain(error)))
    if problems:
        raise UserError(
            "the configuration is not valid (config/README.md describes every key):\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )


def _unreadable(node: Any, key: str, depth: int = 0) -> Iterator[str]:
    """Say which values no schema can judge: not a number, endless, or a key that is no text."""
    if depth > MAX_DEPTH:
        yield f"{key[:80]}…: nested without end"
    elif isinstance(node, float) and not math.isfinite(node):
        yield f"{key}: {node} is no number to calculate with; give a finite one"
    elif isinstance(node, Mapping):
        for name, child in node.items():
            where = f"{key}.{name}".lstrip(".")
            if not isinstance(name, str):
                yield f"{where}: YAML reads this key as {name!r}, not as text; put it in quotes or rename it"
            else:
                yield from _unreadable(child, where, depth + 1)
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _unreadable(child, f"{key}[{index}]", depth + 1)


def _explain(error: jsonschema.ValidationError) -> Iterator[str]:
    """Say which key is wrong, what was found there and what is allowed, one line each."""
    if error.validator == "anyOf" and error.context:
        # An entry of `systems` may be empty; the interesting complaint is about its content.
        deeper = [nested for nested in error.context if len(nested.absolute_path) > len(error.absolute_path)]
        unknown = [nested for nested in error.context if nested.validator == "additionalProperties"]
        if deeper or unknown:
            for nested in [*unknown, *deeper]:
                yield from _explain(nested)
            return
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        allowed = sorted(error.schema.get("properties", {}))
        for name in sorted(set(error.instance) - set(allowed), key=str):
            where = f"{key}.{name}" if key else str(name)
            yield f"{where}: unknown key; allowed here: {', '.join(allowed)}"
        return
    if error.validator in {"pattern", "not"} and "propertyNames" in error.absolute_schema_path:
        yield (
            f"{key or 'systems'}: {error.instance!r} cannot name a system; use lower-case letters, digits "
            "and _, starting with a letter, and none of the names of the result folders"
        )
        return
    if error.validator == "required":
        missing = error.message.split(" is ")[0].strip("'")
        yield f"{key}.{missing}".lstrip(".") + ": missing; it is required"
        return
    hint = ""
    if isinstance(error.instance, str) and error.validator in {"type", "anyOf"}:
        try:
            float(error.instance)
            hint = " (YAML reads this as text; write a decimal point, as in 1.0e-3, and no quotes)"
        except ValueError:
            pass
    if isinstance(error.instance, bool) and error.validator in {"type", "anyOf", "enum"}:
        hint = " (YAML reads yes, no, on and off as true or false; put text in quotes)"
    yield f"{key}: {error.instance!r} is not allowed{hint}; expected {describe_type(error.schema)}"


def describe_type(node: Mapping[str, Any]) -> str:
    """Return the type and the range of a schema node in words."""
    if "anyOf" in node:
        return " or ".join(describe_type(option) for option in node["anyOf"])
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return "one of " + ", ".join(f"`{value}`" for value in node["enum"])
    kind = node.get("type", "value")
    if kind == "array":
        count = ""
        if "minItems" in node:
            same = node.get("maxItems") == node["minItems"]
            count = f" of {node['minItems']}" if same else f" of at least {node['minItems']}"
        return f"list{count} ({describe_type(node.get('items', {}))})"
    bounds = []
    for word, sign in (
        ("exclusiveMinimum", ">"),
        ("minimum", ">="),
        ("exclusiveMaximum", "<"),
        ("maximum", "<="),
    ):
        if word in node:
            bounds.append(f"{sign} {node[word]}")
    if "pattern" in node:
        bounds.append(f"matching {node['pattern']}")
    return f"{kind}{' ' + ', '.join(bounds) if bounds else ''}"


def whole_multiple(value: float, unit: float) -> bool:
    """Tell whether `value` is a whole multiple (at least one) of `unit`."""
    ratio = value / unit
    return round(ratio) >= 1 and abs(ratio - round(ratio)) < WHOLE_TOLERANCE * max(1.0, ratio)


def _contradictions(name: str, system: Mapping[str, Any]) -> Iterator[str]:
    """Check what no schema can: keys against one another."""
    where = f"systems.{name}"
    if system["tpt"]["source"] == system["tpt"]["target"]:
        yield f"{where}.tpt: source and target are both {system['tpt']['source']!r}"
    fit = system["transport"]["diffusion_fit_ps"]
    if fit != "auto" and fit[0] >= fit[1]:
        yield f"{where}.transport.diffusion_fit_ps: {fit} is no range; give [low, high]"
    kinetics = system["kinetics"]
    if kinetics["dictionary"] == "soft" and kinetics["reversible"]:
        yield f"{where}.kinetics.reversible: not with the soft dictionary; set it to false"
    if is_own(system):
        yield from _own_contradictions(where, system)
        return
    md = system["md"]
    frame_ps = md["frame_interval_fs"] / 1000.0
    if "electrolyte" not in system["interface"]:
        yield (
            f"{where}.interface.electrolyte: missing; name a crystal of config/structures, or give "
            "trajectory.files"
        )
    if not any(system["interface"].get("miller", [1])):
        yield f"{where}.interface.miller: [0, 0, 0] is no plane"
    if not whole_multiple(md["frame_interval_fs"], md["timestep_fs"]):
        yield (
            f"{where}.md.frame_interval_fs: {md['frame_interval_fs']} fs is not a multiple of timestep_fs "
            f"{md['timestep_fs']} fs"
        )
        return  # nothing else would fit either
    for key in ("react_ps", "equilibrate_ps", "production_ps", "segment_ps", "checkpoint_ps"):
        if not whole_multiple(md[key], frame_ps):
            yield (
                f"{where}.md.{key}: {md[key]} ps is not a multiple of frame_interval_fs "
                f"{md['frame_interval_fs']} fs"
            )
    interval_ps = frame_ps * system["environments"]["stride"]
    for key, lag in _lags(system).items():
        if not whole_multiple(lag, interval_ps):
            yield (
                f"{where}.{key}: {lag} ps is not a multiple of the analysed frame interval "
                f"{interval_ps:g} ps (md.frame_interval_fs times environments.stride)"
            )
        elif lag > md["production_ps"] / 4:
            yield (
                f"{where}.{key}: {lag} ps needs a production of at least {4 * lag:g} ps; "
                f"md.production_ps is {md['production_ps']} ps"
            )
    if kinetics["discard_ps"] != "auto" and kinetics["discard_ps"] > md["production_ps"] / 2:
        yield (
            f"{where}.kinetics.discard_ps: {kinetics['discard_ps']} ps is more than half of "
            f"md.production_ps, {md['production_ps']} ps"
        )


def is_own(system: Mapping[str, Any]) -> bool:
    """Tell whether the settings of a system name a trajectory that the user already has."""
    return bool(system["trajectory"].get("files"))


def _own_contradictions(where: str, system: Mapping[str, Any]) -> Iterator[str]:
    """Check the keys of a system with a trajectory of its own."""
    trajectory = system["trajectory"]
    if "electrolyte" in system["interface"]:
        yield f"{where}: names both trajectory.files and interface.electrolyte; keep one"
    if system["replicas"] > 1 and not any("{replica}" in name for name in trajectory["files"]):
        yield (
            f"{where}.trajectory.files: the same files for {system['replicas']} replicas; write {{replica}} "
            "where their names differ"
        )
    if "frame_interval_fs" not in trajectory:
        return  # the files tell; later stages check the lags
    interval_ps = trajectory["frame_interval_fs"] / 1000.0 * system["environments"]["stride"]
    for key, lag in _lags(system).items():
        if not whole_multiple(lag, interval_ps):
            yield (
                f"{where}.{key}: {lag} ps is not a multiple of the analysed frame interval "
                f"{interval_ps:g} ps (trajectory.frame_interval_fs times environments.stride)"
            )


def _lags(system: Mapping[str, Any]) -> dict[str, float]:
    """Return every lag time of a system in ps, by its key."""
    kinetics = system["kinetics"]
    lags = {"transport.mobility_lag_ps": system["transport"]["mobility_lag_ps"]}
    if kinetics["lag_ps"] != "auto":
        lags["kinetics.lag_ps"] = kinetics["lag_ps"]
    return lags | {f"kinetics.scan_lags_ps[{i}]": lag for i, lag in enumerate(kinetics["scan_lags_ps"])}


def _unlike_sharers(systems: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Check that systems which share an encoder agree on how it is trained."""
    sharers = {name: system for name, system in systems.items() if system["gcl"]["scope"] == "shared"}
    if not sharers:
        return []
    first, *others = sharers
    wanted = {"gcl": sharers[first]["gcl"], "environments": sharers[first]["environments"]}
    return [
        f"systems.{name}.{stage}.{key}: {sharers[name][stage][key]}, but {first} has {value}; systems with "
        "gcl.scope shared need the same"
        for name in others
        for stage, settings in wanted.items()
        for key, value in settings.items()
        if sharers[name][stage][key] != value
    ]
