"""Loading ``mesh.yaml``: every mistake at once, with file, line and column; the origin of every value kept.

An option wins over a ``GITLAB_MESH_*`` variable, that over the file, that over the default. In the file the chosen
environment wins over the base, and a service's own block over ``defaults``. Not given, false, 0 and "" are four
different things; only an *empty environment variable* counts as not given, as GitLab can empty a variable but not
unset it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitlab_mesh.config.document import Document, choose_environment, layer_services, parse_document
from gitlab_mesh.config.model import MeshConfig, ServiceConfig
from gitlab_mesh.config.nodes import Node, Problems
from gitlab_mesh.config.origins import LoadedConfig, Origin
from gitlab_mesh.config.overlay import parse_environment_variables, parse_options
from gitlab_mesh.config.parse import Section, build, merge, nearest, without_invalid
from gitlab_mesh.config.rules import check_service
from gitlab_mesh.config.shape import NAME_FIELD, service_fields
from gitlab_mesh.config.yaml_source import compose
from gitlab_mesh.errors import ConfigError

__all__ = ["MINIMUM", "load_config"]

MAX_BYTES = 5 * 1024 * 1024
MAX_SHOWN = 50

MINIMUM = """version: 1
services:
  shop:
    namespace: shop
    route: {virtualService: shop}
"""
"""The five lines that a service needs."""


def load_config(
    source: Path | str,
    *,
    environment: str | None = None,
    service: str | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    """Load a configuration.

    Args:
        source: Path of the file; a text with a line break is the document itself.
        environment: Name of the GitLab environment. Where the file has ``environments``, it must be one of them, or
            match one with ``*`` (``review/*``), as GitLab's environment scopes do.
        service: The service that variables and options are for; None: all of them.
        env: The environment variables.
        overrides: Options by path below the service (``rollout.step_bake``); text is read as in YAML, None is not
            given.

    Raises:
        ConfigError: Something is wrong; ``problems`` lists all of it.
    """
    name, text = _read(source)
    problems = Problems()
    root = compose(text, name, problems)
    document = Document()
    if root is None and not len(problems):
        problems.add(Node(None, name, 1, 1), "", "the file is empty")
    if root is not None:
        document = parse_document(root, problems)
    variables = parse_environment_variables(env or {}, problems)
    options = parse_options(overrides or {}, problems)
    chosen = choose_environment(document, environment, name, problems)
    layers = layer_services(document, chosen)
    if service is not None and not len(problems):
        _check_known(service, layers, name, problems)
    for key in layers:
        if service in (None, key):
            layers[key] = merge(merge(options, variables), layers[key])
    _check_required(layers, document, problems, name)
    origins: dict[str, Origin] = {}
    services: dict[str, ServiceConfig] = {}
    for key, section in layers.items():
        services[key], broken = _build_service(key, section, origins)
        for path, message in check_service(services[key], broken):
            # What a variable may fill is not asked of services that the variables are not for.
            if service in (None, key) or "is missing" not in message:
                whole = f"services.{key}.{path}"
                problems.add_at(_origin_near(origins, whole, document.places.get(key), name), whole, message)
    _raise(problems, name)
    return LoadedConfig(MeshConfig(services, environment), origins, name, document.inventory, document.assume)


def _read(source: Path | str) -> tuple[str, str]:
    if isinstance(source, str) and "\n" in source:
        return "mesh.yaml", source
    path = Path(source)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ConfigError(f"{path} is larger than 5 MB; that is no mesh.yaml")
        return str(source), raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist", hint=f"write one, this is enough for a canary:\n{MINIMUM}".rstrip()
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read", why=error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text in UTF-8", why=f"byte {error.start} is none of it") from None


def _check_known(service: str, layers: Mapping[str, Section], name: str, problems: Problems) -> None:
    if service not in layers:
        near = nearest(service, layers)
        said = f"did you mean {near}?" if near else f"known: {', '.join(layers)}"
        problems.add(Node(None, name, 1, 1), f"services.{service}", f"no such service; {said}")


def _check_required(layers: Mapping[str, Section], document: Document, problems: Problems, name: str) -> None:
    for key, section in layers.items():
        for field_key, shape in service_fields().items():
            if shape.required and field_key not in section.entries:
                place = document.places.get(key) or Node(None, name, 1, 1)
                problems.add(place, f"services.{key}.{field_key}", f"is missing: {shape.about.help}")


def _build_service(key: str, section: Section, origins: dict[str, Origin]) -> tuple[ServiceConfig, set[str]]:
    """Build one service; where it has mistakes, without them, and name the sections that have some."""
    broken = {name for name in section.entries if without_invalid(Section({name: section.entries[name]}))[1]}
    missing = {
        shape.attribute: ""
        for name, shape in service_fields().items()
        if shape.required and (name in broken or name not in section.entries)
    }
    usable, _ = without_invalid(section)
    given = {NAME_FIELD: key, **missing}
    return build(ServiceConfig, usable, f"services.{key}", origins, given=given), broken


def _origin_near(origins: Mapping[str, Origin], path: str, place: Node | None, name: str) -> Origin:
    """Return who said the setting, or else where the service stands."""
    found = origins.get(path.partition("[")[0])
    if found is not None and found.kind != "default":
        return found
    return place.origin if place is not None else Origin("file", f"{name}:1", 1)


def _raise(problems: Problems, name: str) -> None:
    lines = tuple(problems)
    if not lines:
        return
    more = (f"... and {len(lines) - MAX_SHOWN} more",) if len(lines) > MAX_SHOWN else ()
    raise ConfigError(
        f"{name}: {len(lines)} mistake{'s' if len(lines) > 1 else ''}",
        lines[:MAX_SHOWN] + more,
        hint="correct them; all keys with their defaults: gitlab-mesh config reference",
    )
