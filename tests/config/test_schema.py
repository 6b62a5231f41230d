"""The JSON Schema: current, valid, and of one opinion with the loader."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gitlab_mesh.config.load import MINIMUM, load_config
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.config.nodes import Problems
from gitlab_mesh.config.reference import insert_reference, render_reference
from gitlab_mesh.config.schema import SCHEMA_FILE, render_schema, render_schema_text
from gitlab_mesh.config.shape import fields_of, leaves_of, service_fields
from gitlab_mesh.config.yaml_source import compose

from .bad_files import BAD, Bad
from .test_load import EXAMPLES, LAYERED

PAGE = Path(__file__).parents[2] / "docs" / "mesh-yaml.md"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(render_schema())


def plain(text: str) -> Any:
    node = compose(text, "mesh.yaml", Problems())
    assert node is not None
    return node.plain()


def test_the_shipped_schema_is_current() -> None:
    shipped = SCHEMA_FILE.read_text(encoding="utf-8")
    assert shipped == render_schema_text(), (
        "run: gitlab-mesh config schema > schema.tmp && mv schema.tmp gitlab_mesh/config/mesh.schema.json"
    )


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(render_schema())


@pytest.mark.parametrize("text", [MINIMUM, *EXAMPLES, LAYERED])
def test_good_files_are_good_to_both(text: str, validator: Draft202012Validator) -> None:
    load_config(text)
    assert list(validator.iter_errors(plain(text))) == []


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.schema], ids=lambda bad: bad.name)
def test_bad_files_are_bad_to_both(bad: Bad, validator: Draft202012Validator) -> None:
    assert not validator.is_valid(plain(bad.text))


@pytest.mark.parametrize(
    "bad", [bad for bad in BAD if not bad.schema and compose(bad.text, "", Problems())], ids=lambda bad: bad.name
)
def test_what_only_the_loader_can_know_is_marked_rightly(bad: Bad, validator: Draft202012Validator) -> None:
    """A mistake that the schema learns to see must move to the shared part of the table."""
    assert validator.is_valid(plain(bad.text))


def test_a_required_key_may_come_from_elsewhere(validator: Draft202012Validator) -> None:
    by_defaults = "version: 1\ndefaults: {namespace: a}\nservices:\n  shop:\n  cart: {}\n"
    load_config(by_defaults)
    assert validator.is_valid(plain(by_defaults))
    by_environment = "version: 1\nservices: {shop: {}}\nenvironments: {p: {services: {shop: {namespace: a}}}}\n"
    load_config(by_environment, environment="p")
    assert validator.is_valid(plain(by_environment))


def test_every_setting_has_description_and_default(validator: Draft202012Validator) -> None:
    service = render_schema()["$defs"]["service"]
    for path, shape in leaves_of(service_fields()):
        found = service
        for key in path:
            found = found["properties"][key]
        assert found["description"].startswith(shape.about.help)
        if shape.about.why:
            assert shape.about.why in found["description"]
        if "default" in found:
            assert Draft202012Validator(found).is_valid(found["default"]), path
    assert service["properties"]["rollout"]["properties"]["step_bake"]["default"] == "1m"
    assert service["properties"]["rollout"]["properties"]["steps"]["default"] == [5, 10, 25, 50]


def test_the_defaults_of_the_schema_are_those_of_the_loader() -> None:
    """Written out, they load to the same service."""

    def written(shapes: Any, schema: Any) -> dict[str, Any]:
        found = {}
        for key, shape in shapes.items():
            inner = schema["properties"][key]
            if shape.is_section and not shape.optional:
                found[key] = written(fields_of(shape.model), inner)
            elif "default" in inner:
                found[key] = inner["default"]
        return found

    body = {"namespace": "shop", **written(service_fields(), render_schema()["$defs"]["service"])}
    text = json.dumps({"version": 1, "services": {"shop": body}}) + "\n"
    assert load_config(text).config.services["shop"] == ServiceConfig(name="shop", namespace="shop")


# Reference


def test_the_reference_in_the_docs_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == insert_reference(page), "run: gitlab-mesh config reference --update docs/mesh-yaml.md"


def test_the_reference_has_every_setting() -> None:
    text = render_reference()
    for path, shape in leaves_of(service_fields()):
        section = ".".join(path[:-1])
        title = f"### `{section}`" if section else "### A service"
        assert title in text
        assert f"| `{path[-1]}` |" in text or f"### `{'.'.join(path)}[]`" in text
        assert shape.model is None or shape.about.help in text


def test_tables_have_four_columns_everywhere() -> None:
    for line in render_reference().splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5, line


def test_a_page_without_its_generated_part() -> None:
    with pytest.raises(ValueError, match="the page has no part"):
        insert_reference("# nothing\n")
