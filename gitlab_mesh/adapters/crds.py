"""The user's CustomResourceDefinitions, evaluated as the API server does: schema, lists, rules in CEL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from gitlab_mesh.adapters.crd_schema import FORMATS, json_schema, repeated, rules_of, with_defaults
from gitlab_mesh.core.analysis.model import Document, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.errors import UsageError

__all__ = ["Crds"]

_CODES = {
    "AdditionalProperties": "GM0010",
    "Type": "GM0011",
    "Required": "GM0012",
    "UniqueItems": "GM0015",
    "OneOfMultipleValid": "GM0014",
    "Not": "GM0014",
}


class _Version(NamedTuple):
    schema: dict[str, Any]
    validator: Any


class Crds:
    """Schemas by group, kind and version.

    Args:
        definitions: CustomResourceDefinition objects.

    Raises:
        UsageError: There is none, one cannot be compiled, or the libraries are not installed.
    """

    def __init__(self, definitions: Iterable[Document]) -> None:
        try:
            import jsonschema_rs

            from gitlab_mesh.adapters.cel_rules import Evaluator

            self._evaluator = Evaluator()
        except ImportError as error:
            raise UsageError(
                f"--crds needs the library {error.name}", hint="pip install 'gitlab-mesh[crds]'"
            ) from error
        self._kinds: dict[tuple[str, str], dict[str, _Version]] = {}
        self._unevaluated: dict[str, tuple[Document, Path, str, int]] = {}
        self._evaluated = 0
        for definition in definitions:
            spec = definition.spec
            key = (str(spec.get("group")), str(mapping(spec.get("names")).get("kind")))
            for _, version in dicts(spec.get("versions")):
                schema = mapping(mapping(version.get("schema")).get("openAPIV3Schema"))
                if version.get("served") is not True:
                    continue
                try:
                    validator = jsonschema_rs.Draft202012Validator(
                        json_schema(schema, root=True), formats=FORMATS, validate_formats=True
                    )
                except ValueError as error:
                    raise UsageError(
                        f"{definition.file}: the schema of {definition.name} cannot be compiled", why=str(error)
                    ) from error
                self._kinds.setdefault(key, {})[str(version.get("name"))] = _Version(schema, validator)
        if not self._kinds:
            raise UsageError("--crds names no CustomResourceDefinition", hint="give the files that kubectl applies")

    @property
    def kinds(self) -> Collection[tuple[str, str]]:
        """Group and kind of everything that is defined."""
        return self._kinds.keys()

    def check(self, document: Document) -> list[Problem] | None:
        """Return what the API server would refuse about an object; None: its kind is not defined here."""
        group, _, name = document.api_version.rpartition("/")
        versions = self._kinds.get((group, str(document.body.get("kind"))))
        if versions is None:
            return None
        version = versions.get(name)
        if version is None:
            served = ", ".join(versions)
            text = f"{document.api_version} is not a version that the CustomResourceDefinition serves"
            return [Problem(document, ("apiVersion",), text, f"write one of {served}", code="GM0017")]
        stored = with_defaults(version.schema, document.body)
        problems = [
            problem
            for error in version.validator.iter_errors(stored)
            for problem in _problems(document, error, version.schema)
        ]
        problems += [Problem(document, path, text, code="GM0015") for path, text in repeated(version.schema, stored)]
        if not problems:  # the API server evaluates rules only for what fits the schema
            problems += self._rules(document, version.schema, stored)
        return problems

    def _rules(self, document: Document, schema: dict[str, Any], stored: Any) -> list[Problem]:
        from gitlab_mesh.adapters.cel_rules import Unevaluated

        problems: list[Problem] = []
        for path, rule, value in rules_of(schema, stored):
            text = str(rule.get("rule"))
            try:
                holds = self._evaluator.holds(text, value)
            except Unevaluated as reason:
                first, place, why, count = self._unevaluated.get(text, (document, path, str(reason), 0))
                self._unevaluated[text] = (first, place, why, count + 1)
                continue
            self._evaluated += 1
            if not holds:
                said = (
                    self._evaluator.text(str(rule["messageExpression"]), value) if "messageExpression" in rule else ""
                )
                message = said or str(rule.get("message") or f"failed rule: {text}").strip()
                problems.append(Problem(document, (*path, *_field(rule)), message, code="GM0022"))
        return problems

    def finish(self) -> Iterable[Problem]:
        """Return a remark for each rule that could not be evaluated."""
        for rule, (document, path, why, count) in self._unevaluated.items():
            times = f" ({count} times)" if count > 1 else ""
            yield Problem(document, path, f"not checked{times}: {rule}: {why}", code="GM0023")

    def count(self) -> str:
        """Say how many rules were evaluated, and how many could not be."""
        left = sum(count for _, _, _, count in self._unevaluated.values())
        return f"{self._evaluated} evaluated, {left} not"


def _field(rule: dict[str, Any]) -> Path:
    """Return ``fieldPath`` (``.spec.host``) as a path; brackets are rare there and end it."""
    word = str(rule.get("fieldPath") or "").partition("[")[0]
    return tuple(part for part in word.split(".") if part)


def _problems(document: Document, error: Any, schema: dict[str, Any]) -> Iterator[Problem]:
    """Turn a fault of the library for JSON Schema into ours, by the name of its kind."""
    code, path = _CODES.get(type(error.kind).__name__, "GM0013"), tuple(error.instance_path)
    if code != "GM0010":
        message = error.message if len(error.message) <= 200 else f"{error.message[:199]}…"
        yield Problem(document, path, message, code=code)
        return
    node: dict[str, Any] = schema
    for step in path:
        node = mapping(node.get("items")) if isinstance(step, int) else _below(node, step)
    for name in error.kind.unexpected:
        near = nearest(str(name), [str(key) for key in mapping(node.get("properties"))])
        hint = f"did you mean {near}?" if near else ""
        text = f"{name} is not a field that the CustomResourceDefinition has here"
        yield Problem(document, (*path, name), text, hint, at_key=True, code=code)


def _below(node: dict[str, Any], step: str) -> dict[str, Any]:
    return mapping(mapping(node.get("properties")).get(step) or node.get("additionalProperties"))
