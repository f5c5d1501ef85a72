"""YAML read without surprises: safe, and what YAML would quietly change is an error.

Plain YAML keeps the last of two equal keys, reads 010 as eight and 1:30 as ninety.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from getsei.errors import UserError

MAX_BYTES = 1_000_000
MAX_NODES = 200_000
"""Values in a document with its aliases written out; a few lines of aliases can stand for billions."""
INT, FLOAT, MERGE = (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "merge"))


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses what would be misread."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise UserError(
                    f"line {line}: YAML reads the key {key_node.value!r} as {key!r}, not as text; put it in "
                    "quotes or choose another name"
                )
            if key in seen:
                raise UserError(f"line {line}: {key} is there twice, first in line {seen[key]}; remove one")
            seen[key] = line
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = super().construct_yaml_int(node)
        if ":" in node.value or re.match(r"[-+]?0\d", node.value):
            raise UserError(
                f"line {node.start_mark.line + 1}: YAML reads {node.value} as {value}; write {value} if you "
                "mean it, or quotes around the text"
            )
        return value

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        value = super().construct_yaml_float(node)
        if ":" in node.value:
            raise UserError(f"line {node.start_mark.line + 1}: YAML reads {node.value} as {value}")
        return value


_Loader.add_constructor(INT, _Loader.construct_yaml_int)
_Loader.add_constructor(FLOAT, _Loader.construct_yaml_float)


def read(path: str | Path) -> Any:
    """Return the content of a YAML file.

    Raises
    ------
    UserError
        If the file cannot be read, is no YAML, or holds what YAML reads otherwise than it looks. The message
        names the file and the line.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"longer than {MAX_BYTES} bytes; this is no file to be written by hand")
        text = path.read_text(encoding="utf-8")
        found = yaml.load(text, Loader=_Loader)
        _count(found)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file (UTF-8)") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: {where}not readable as YAML ({problem})") from None
    except (RecursionError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not readable as YAML ({str(error).splitlines()[0]})") from None
    return found


def _count(document: Any) -> None:
    """Refuse a document that is endless when its aliases are written out."""
    pending, nodes = [document], 0
    while pending:
        node = pending.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise UserError("its aliases (&, *) stand for too much, or for themselves; write the values out")
        if isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
