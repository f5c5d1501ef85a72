"""What people and editors read of the configuration: config/README.md, and the schema as JSON.

`python -m getsei.manual` writes the one, `python -m getsei.manual --json` the other.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from getsei import settings


def document(schema: Mapping[str, Any]) -> str:
    """Return the description of every key as Markdown."""
    lines = [
        "# Configuration",
        "",
        "<!-- Generated from workflow/schemas/config.schema.yaml by",
        "     PYTHONPATH=scripts python -m getsei.manual > config/README.md -->",
        "",
        "Editors with the YAML language server (VS Code with the YAML extension, Neovim, Emacs)",
        "complete and explain these keys as you type, by the first line of `config.yaml`.",
        "",
        schema["description"],
        "Units are part of the key names. An unknown key, a wrong type or a value out of range stops the run",
        "before any job starts, with a message that names the key.",
        "",
        "```yaml",
        "systems:",
        "  li3ps4:                              # a new electrolyte is one entry",
        "    interface:",
        "      electrolyte: Li3PS4_beta_ordered # a file of config/structures",
        "    md:",
        "      production_ps: 400.0             # every key of `defaults` can be overridden",
        "```",
        "",
        "Crystals are described in `config/structures/`, one file each; copy one to add your own.",
        "",
        "## Settings of a system",
        "",
    ]
    groups = schema["$defs"]["settings"]["properties"]
    lines += _table({key: node for key, node in groups.items() if "properties" not in node})
    for key, node in groups.items():
        if "properties" in node:
            lines += [f"### `{key}`", "", node["description"], "", *_table(node["properties"])]
    training = schema["$defs"]["potential_training"].get("properties", {})
    if training:
        lines += [
            "## `potential_training`",
            "",
            schema["properties"]["potential_training"]["description"],
            "",
        ]
        lines += _table(_flattened(training, schema))
    lines += ["## Keys beside `defaults` and `systems`", ""]
    lines += _table({key: schema["properties"][key] for key in ("run", "finished_only")})
    lines += ["## `pathvars`", "", schema["properties"]["pathvars"]["description"], ""]
    lines += _table(schema["properties"]["pathvars"]["properties"])
    return "\n".join(lines).rstrip() + "\n"


def _flattened(properties: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys by their dotted names."""
    found: dict[str, Any] = {}
    for key, node in properties.items():
        target = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        if "properties" in target:
            found |= _flattened(target["properties"], schema, f"{prefix}{key}.")
        else:
            found[prefix + key] = node
    return found


def _table(properties: Mapping[str, Any]) -> list[str]:
    rows = ["| key | type and range | default | meaning |", "| --- | --- | --- | --- |"]
    for key, node in properties.items():
        default = f"`{node['default']}`" if "default" in node else ""
        kind = settings.describe_type(node).replace("|", "\\|")
        rows.append(f"| `{key}` | {kind} | {default} | {node['description']} |")
    return [*rows, ""]


def editor_schema(schema: Mapping[str, Any]) -> str:
    """Return the schema as JSON, for editors that complete and check config.yaml as it is typed.

    A file that is laid over config.yaml need not repeat its other parts.
    """
    return json.dumps({**schema, "required": ["systems"]}, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write = editor_schema if sys.argv[1:] == ["--json"] else document
    sys.stdout.write(write(settings.load_schema()))
