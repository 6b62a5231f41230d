"""Loading mesh.yaml: what wins over what, and where every value comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.config.load import MINIMUM, load_config
from gitlab_mesh.config.model import (
    GatewayPods,
    HttpSmoke,
    RouteConfig,
    ServiceConfig,
    SmokeCheck,
    StepConfig,
)
from gitlab_mesh.core.judge.model import Importance
from gitlab_mesh.errors import ConfigError

PAGE = (Path(__file__).parents[2] / "docs" / "mesh-yaml.md").read_text(encoding="utf-8")
EXAMPLES = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if text.startswith("version: 1\n")]


def load(text: str, **options: Any) -> Any:
    return load_config(text, **options).config.services["shop"]


def shop(body: str = "", rest: str = "") -> str:
    """Return a file with service shop, ``body`` below it and ``rest`` at the top."""
    inner = "".join(f"    {line}\n" for line in body.splitlines())
    return f"version: 1\nservices:\n  shop:\n    namespace: shop\n{inner}{rest}"


def test_the_minimum_has_the_models_defaults() -> None:
    loaded = load_config(MINIMUM)
    assert loaded.config.services == {
        "shop": ServiceConfig(name="shop", namespace="shop", route=RouteConfig(virtual_service="shop"))
    }
    assert str(loaded.origins["services.shop.route.virtualService"]) == "mesh.yaml:5"
    assert str(loaded.origins["services.shop.rollout.step_bake"]) == "default"


def test_the_examples_of_the_docs_load() -> None:
    minimum, full = (load_config(text) for text in EXAMPLES)
    assert EXAMPLES[0] == MINIMUM
    assert set(minimum.config.services) == {"shop"}
    found = full.config.services["shop"]
    assert found.rollout.steps == (StepConfig(1), StepConfig(5), StepConfig(25, 300.0), StepConfig(50))
    assert (found.judge.bake_seconds, found.judge.max_error_ratio, found.judge.slow_seconds) == (900.0, 0.01, 0.8)
    assert found.metrics.gateway == GatewayPods("istio-system", "istio=ingressgateway")
    assert found.metrics.queries[0].importance is Importance.NORMAL
    assert found.smoke == (
        SmokeCheck("health", HttpSmoke("/healthz")),
        SmokeCheck("checkout", command=("./smoke.sh", "--fast"), timeout=30.0),
    )
    assert dict(found.links) == {"Grafana": "https://grafana.example/d/shop"}
    assert full.config.services["cart"].metrics.source == "prometheus"
    review = load_config(EXAMPLES[1], environment="review/feature-1").config
    assert (review.services["shop"].namespace, review.services["cart"].namespace) == ("shop-review", "shop")
    staging = load_config(EXAMPLES[1], environment="staging").config.services
    assert staging["cart"].rollout.step_bake == 10.0
    assert staging["shop"].rollout.step_bake == 120.0


LAYERED = shop(
    "rollout: {step_bake: 2m}",
    "defaults:\n  rollout: {step_bake: 1m, drain: 1s}\n"
    "environments:\n"
    "  production:\n"
    "    defaults: {rollout: {step_bake: 3m, drain: 3s, lease: 33s}}\n"
    "    services: {shop: {rollout: {step_bake: 4m}}}\n",
)


@pytest.mark.parametrize(
    ("environment", "env", "overrides", "seconds", "origin"),
    [
        (None, {}, {}, 120.0, "mesh.yaml:5"),
        ("production", {}, {}, 240.0, "mesh.yaml:11"),
        ("production", {"GITLAB_MESH_ROLLOUT_STEP_BAKE": "5m"}, {}, 300.0, "environment GITLAB_MESH_ROLLOUT_STEP_BAKE"),
        (
            "production",
            {"GITLAB_MESH_ROLLOUT_STEP_BAKE": "5m"},
            {"rollout.step_bake": "6m"},
            360.0,
            "option rollout.step_bake",
        ),
        (None, {"GITLAB_MESH_ROLLOUT_STEP_BAKE": ""}, {"rollout.step_bake": None}, 120.0, "mesh.yaml:5"),
        (None, {}, {"rollout.step_bake": 0}, 0.0, "option rollout.step_bake"),
        (None, {}, {"rollout.step_bake": 7.5}, 7.5, "option rollout.step_bake"),
    ],
)
def test_precedence(
    environment: str | None, env: Mapping[str, str], overrides: Mapping[str, Any], seconds: float, origin: str
) -> None:
    loaded = load_config(LAYERED, environment=environment, env=env, overrides=overrides)
    assert loaded.config.services["shop"].rollout.step_bake == seconds
    assert str(loaded.origins["services.shop.rollout.step_bake"]) == origin


def test_layers_are_laid_over_one_another_key_by_key() -> None:
    rollout = load(LAYERED, environment="production").rollout
    assert (rollout.drain, rollout.lease, rollout.reassert) == (3.0, 33.0, 2)
    assert load(LAYERED).rollout.drain == 1.0


def test_lists_are_replaced_and_maps_are_merged() -> None:
    text = shop(
        "rollout: {steps: [5]}\nlinks: {Kiali: k}",
        "defaults: {rollout: {steps: [1, 2]}, links: {Grafana: g, Kiali: other}}\n",
    )
    found = load(text)
    assert found.rollout.steps == (StepConfig(5),)
    assert dict(found.links) == {"Grafana": "g", "Kiali": "k"}


def test_null_takes_back_what_a_lower_layer_says() -> None:
    rest = "defaults: {judge: {max_error_ratio: 1%}, metrics: {gateway: {selector: a=b}}}\n"
    assert load(shop("", rest)).judge.max_error_ratio == 0.01
    found = load(shop("judge: {max_error_ratio: null}\nmetrics: {gateway: ~}", rest))
    assert found.judge.max_error_ratio is None
    assert found.metrics.gateway is None
    again = load(shop("metrics: {gateway: {namespace: edge}}", rest))
    assert again.metrics.gateway == GatewayPods("edge", "a=b")


def test_unset_false_zero_and_empty_are_four_things() -> None:
    rest = "defaults: {rollout: {events: true, reassert: 5}, subsets: {label: app}, host: h}\n"
    unset = load(shop("", rest))
    assert (unset.rollout.events, unset.rollout.reassert, unset.host) == (True, 5, "h")
    said = load(shop('rollout: {events: false, reassert: 0}\nhost: ""', rest))
    assert (said.rollout.events, said.rollout.reassert, said.host) == (False, 0, "")
    by_option = load(
        shop("", rest), overrides={"rollout.events": False, "rollout.reassert": 0, "host": "", "route.host": None}
    )
    assert (by_option.rollout.events, by_option.rollout.reassert, by_option.host) == (False, 0, "")


def test_an_empty_section_is_an_empty_section() -> None:
    assert load(shop("rollout:\nroute: {}")) == ServiceConfig(name="shop", namespace="shop")


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("METRICS_ADDRESS", "http://prometheus:9090", "metrics.address", "http://prometheus:9090"),
        ("JUDGE_BAKE", "90", "judge.bake_seconds", 90.0),
        ("JUDGE_BAKE", "1m30s", "judge.bake_seconds", 90.0),
        ("JUDGE_MAX_ERROR_RATIO", "2%", "judge.max_error_ratio", 0.02),
        ("JUDGE_MODE", "dry-run", "judge.mode", "dry-run"),
        ("ROUTE_VIRTUAL_SERVICE", "123", "route.virtual_service", "123"),
        ("ROUTE_HTTP", "a, b", "route.http", ("a", "b")),
        ("ROLLOUT_STEPS", "5,25,50%", "rollout.steps", (StepConfig(5), StepConfig(25), StepConfig(50))),
        ("ROLLOUT_STEPS", "[{weight: 5, bake: 1m}]", "rollout.steps", (StepConfig(5, 60.0),)),
        ("ROLLOUT_REASSERT", "0", "rollout.reassert", 0),
        ("WORKLOAD_PORT", "8080", "workload.port", 8080),
        ("ROLLOUT_EVENTS", "FALSE", "rollout.events", False),
        ("NAMESPACE", "shop-7", "namespace", "shop-7"),
        ("LINKS", "{Grafana: g}", "links", {"Grafana": "g"}),
        ("METRICS_GATEWAY_NAMESPACE", "edge", "metrics.gateway.namespace", "edge"),
    ],
)
def test_variables(variable: str, text: str, path: str, value: Any) -> None:
    found = load(shop(), env={f"GITLAB_MESH_{variable}": text})
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


def test_variables_are_for_the_selected_service() -> None:
    text = shop("", "  cart: {namespace: cart}\n")
    env = {"GITLAB_MESH_ROLLOUT_DRAIN": "1s"}
    chosen = load_config(text, env=env, service="shop").config.services
    assert (chosen["shop"].rollout.drain, chosen["cart"].rollout.drain) == (1.0, 30.0)
    both = load_config(text, env=env).config.services
    assert (both["shop"].rollout.drain, both["cart"].rollout.drain) == (1.0, 1.0)


def test_what_a_variable_may_fill_is_asked_of_the_selected_service_only() -> None:
    text = shop("metrics: {source: prometheus}", "  cart: {namespace: cart, metrics: {source: prometheus}}\n")
    env = {"GITLAB_MESH_METRICS_ADDRESS": "http://p:9090"}
    assert load_config(text, env=env, service="shop").config.services["shop"].metrics.address == "http://p:9090"
    with pytest.raises(ConfigError, match=r"mesh\.yaml:6:3: services\.cart\.metrics\.address: is missing"):
        load_config(text, env={}, service="cart")


def test_variables_of_other_parts_are_left_alone() -> None:
    env = {"GITLAB_MESH_PIP_SPEC": "x", "GITLAB_MESH_SERVICE": "shop", "GITLAB_MESH_KUBE_CONTEXT": "c", "HOME": "/"}
    assert load(shop(), env=env) == load(shop())


# Environments


def test_without_environments_any_name_will_do() -> None:
    assert load_config(shop(), environment="production").config.environment == "production"


def test_an_unknown_environment_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"mesh\.yaml:8:1: environments\.qa: no such environment; known: production"):
        load_config(LAYERED, environment="qa")
    with pytest.raises(ConfigError, match="did you mean production"):
        load_config(LAYERED, environment="prodution")


def test_the_longest_pattern_wins_and_a_name_wins_over_patterns() -> None:
    block = "".join(
        f"  {name}: {{services: {{shop: {{namespace: {namespace}}}}}}}\n"
        for name, namespace in {"'*'": "all", "review/*": "any", "review/main": "main"}.items()
    )
    text = shop("", f"environments:\n{block}")
    found = {name: load(text, environment=name).namespace for name in ("x", "review/x", "review/main")}
    assert found == {"x": "all", "review/x": "any", "review/main": "main"}


def test_an_environment_may_complete_a_service_or_bring_one() -> None:
    text = (
        "version: 1\nservices:\n  shop: {judge: {mode: enforce}}\n"
        "environments:\n  production:\n    services: {shop: {namespace: shop}, extra: {namespace: x}}\n  staging:\n"
    )
    assert set(load_config(text, environment="production").config.services) == {"shop", "extra"}
    with pytest.raises(ConfigError, match=r"mesh\.yaml:3:3: services\.shop\.namespace: is missing"):
        load_config(text, environment="staging")


# Sources


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMUM.encode())
    for source in (path, str(path)):
        loaded = load_config(source)
        assert loaded.source == str(path)
        assert str(loaded.origins["services.shop.namespace"]) == f"{path}:4"


def test_a_missing_file_shows_the_minimum(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "mesh.yaml")
    assert "does not exist" in caught.value.what
    assert MINIMUM.rstrip() in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", "not text in UTF-8"), (b"# " + b"x" * (5 * 1024 * 1024), "larger than 5 MB"), (b"", "is empty")],
)
def test_files_that_are_no_mesh_yaml(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load_config(path)


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_an_unknown_service_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"services\.shopp: no such service; did you mean shop\?"):
        load_config(shop(), service="shopp")
    with pytest.raises(ConfigError, match="known: shop"):
        load_config(shop(), service="x")
