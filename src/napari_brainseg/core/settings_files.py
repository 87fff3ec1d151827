"""Settings from a file that a person wrote, or that a training left."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .config import ModelConfig, TrainConfig
from .settings import Settings

_SECTIONS: dict[str, type[Settings]] = {"model": ModelConfig, "training": TrainConfig}

Changes = dict[str, dict[str, Any]]
"""Fields that are given, by section: those of the network under "model", those of the training under "training"."""


def read_settings(path: Path) -> Changes:
    """Read fields of `ModelConfig` and `TrainConfig` from YAML or JSON.

    Parameters
    ----------
    path : Path
        Fields side by side, or in the sections ``model`` and ``training`` as in ``run.json`` and ``model.json``, of
        which the rest is passed over.

    Raises
    ------
    ValueError
        If the file is neither, holds another field, or a value out of bounds; the message names it.
    """
    content = _parse(path)
    found: Changes = {"model": {}, "training": {}}
    if found.keys() & content.keys():
        if beside := [name for name in content if _is_field(name)]:
            raise ValueError(f"{path}: {beside[0]} stands beside the sections; allowed is to put it under one of them")
        found = {section: _as_mapping(path, content.get(section) or {}) for section in found}
    else:
        for name, value in content.items():
            field = _field(name)
            found[_section_of(path, field)][field] = value
    for section, group in _SECTIONS.items():
        for name in found[section]:
            if name not in group.model_fields:
                _section_of(path, name)
                raise ValueError(f"{path}: {name} does not belong under {section}")
    return found


def _parse(path: Path) -> dict[str, Any]:
    if path.suffix.lower() not in (".json", ".yaml", ".yml"):
        raise ValueError(f"{path} is neither YAML nor JSON by its name; allowed are .yaml, .yml and .json")
    try:
        text = path.read_text("utf-8")
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return _as_mapping(path, content or {})


def _as_mapping(path: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds no settings; allowed are lines like 'epochs: 10'")
    return dict(content)


def _field(name: Any) -> str:
    return str(name).replace("-", "_")


def _is_field(name: Any) -> bool:
    return any(_field(name) in group.model_fields for group in _SECTIONS.values())


def _section_of(path: Path, name: str) -> str:
    for section, group in _SECTIONS.items():
        if name in group.model_fields:
            return section
    allowed = ", ".join(name for group in _SECTIONS.values() for name in group.model_fields)
    raise ValueError(f"{path}: there is no setting {name}; allowed are {allowed}")
