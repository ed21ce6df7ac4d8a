"""Parameter files made from the defaults and differences to them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from pipeline.atomic import write_text
from pipeline.errors import ParamsError
from pipeline.params import MAX_PARAMS_BYTES, parse_params, read_yaml
from pipeline.plain import read_text
from ta2net.params import Params, overlay


def compose_params(configs: Iterable[Path], out: Path) -> Params:
    """Write the defaults with every file of ``configs`` laid over them to ``out``; keep its comments.

    Raises:
        ParamsError: a config cannot be read, or what results is not valid.
    """
    defaults = Params().model_dump(mode="json")
    document, origin = defaults, []
    for path in configs:
        document = overlay(document, read_yaml(path) or {})
        origin.append(str(path))
    params = parse_params(document, Params, " + ".join(origin) or "defaults")
    write_params(params, out)
    return params


def write_params(params: Params, out: Path) -> None:
    """Write ``params`` as YAML; comments of an existing file are kept.

    Raises:
        ParamsError: what stands at ``out`` is not a YAML file.
    """
    yaml = YAML()
    yaml.width = 110
    try:
        target = yaml.load(read_text(out, MAX_PARAMS_BYTES)) if out.exists() else None
    except (YAMLError, ValueError, OSError, RecursionError) as error:
        raise ParamsError(
            f"{out}: cannot be read as a parameter file ({error}), so its comments would be lost; delete "
            "it or give another name"
        ) from error
    target = target if isinstance(target, CommentedMap) else CommentedMap()
    _assign(target, params.model_dump(mode="json"))
    text = io.StringIO()
    yaml.dump(target, text)
    write_text(out, text.getvalue())


def _assign(target: CommentedMap, values: dict[str, Any]) -> None:
    """Give ``target`` exactly the entries of ``values``, touching only what differs."""
    for key in [key for key in target if key not in values]:
        del target[key]
    for key, value in values.items():
        if isinstance(value, dict):
            if not isinstance(target.get(key), CommentedMap):
                target[key] = CommentedMap()
            _assign(target[key], value)
        elif key not in target or target[key] != value:
            target[key] = value
