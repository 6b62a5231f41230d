"""Bad files and what is said about them; the loader's tests and the schema's share this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bad:
    """One bad file: the text, the place and a part of the message; ``schema``: can a JSON Schema see it?"""

    name: str
    text: str
    place: str
    said: str
    schema: bool = True


def service(body: str) -> str:
    inner = "".join(f"    {line}\n" for line in body.splitlines())
    return f"version: 1\nservices:\n  shop:\n    namespace: shop\n{inner}"


BAD = [
    # the whole
    Bad("list", "- a\n", "1:1", "expected a mapping with version, services"),
    Bad("text", "hello\n", "1:1", "expected a mapping"),
    Bad("no version", "services: {shop: {namespace: shop}}\n", "1:1", "version: is missing; write: version: 1"),
    Bad("version 2", "version: 2\nservices: {shop: {namespace: shop}}\n", "1:10", "knows version 1"),
    Bad("version as text", "version: '1'\nservices: {shop: {namespace: shop}}\n", "1:10", "without quotes"),
    Bad("version true", "version: true\nservices: {shop: {namespace: shop}}\n", "1:10", "knows version 1"),
    Bad("no services", "version: 1\n", "1:1", "services: is missing"),
    Bad("empty services", "version: 1\nservices: {}\n", "2:11", "services: is empty"),
    Bad("null services", "version: 1\nservices:\n", "2:10", "services: is empty"),
    Bad("services as list", "version: 1\nservices: [a]\n", "2:11", "expected a mapping"),
    Bad("unknown top key", "version: 1\nservice: {}\nservices: {a: {namespace: b}}\n", "2:1", "did you mean services?"),
    Bad("far top key", "version: 1\nzzz: {}\nservices: {a: {namespace: b}}\n", "2:1", "known here: version, services"),
    # services
    Bad("service is text", "version: 1\nservices: {shop: x}\n", "2:18", "expected a mapping with some of namespace"),
    Bad("no namespace", "version: 1\nservices:\n  shop: {}\n", "3:3", "services.shop.namespace: is missing"),
    Bad("null service", "version: 1\nservices:\n  shop:\n", "3:3", "services.shop.namespace: is missing"),
    Bad("service name", "version: 1\nservices:\n  Shop_1: {namespace: a}\n", "3:3", "RFC 1123"),
    Bad("unknown key", service("rollot: {}"), "5:5", "services.shop.rollot: unknown key; did you mean rollout?"),
    Bad("other spelling", service("route: {virtual_service: x}"), "5:13", "did you mean virtualService?"),
    Bad("upper case", service("Rollout: {}"), "5:5", "did you mean rollout?"),
    Bad("one level too high", service("virtualService: x"), "5:5", "did you mean route.virtualService?"),
    Bad("far key", service("route: {zzzzz: 1}"), "5:13", "known here: virtualService, also, host, http"),
    Bad("name inside", service("name: shop"), "5:5", "services.shop.name: unknown key"),
    Bad("namespace", service("").replace("namespace: shop", "namespace: Shop.x"), "4:16", "RFC 1123"),
    Bad("namespace 64", service("").replace("namespace: shop", f"namespace: {'a' * 64}"), "4:16", "at most 63"),
    Bad("resource name", service("route: {virtualService: -a}"), "5:29", "is no Kubernetes name"),
    # durations
    Bad("words", service("rollout: {step_bake: 5 minutes}"), "5:26", "expected a duration such as 90s, 5m or 1h30m"),
    Bad("list for duration", service("rollout: {step_bake: [1]}"), "5:26", "a list stands here; expected a duration"),
    Bad("mapping for duration", service("rollout: {step_bake: {a: 1}}"), "5:26", "a mapping stands here"),
    Bad("true for duration", service("rollout: {step_bake: true}"), "5:26", "true stands here; expected a duration"),
    Bad("sexagesimal", service("rollout: {step_bake: '1:30'}"), "5:26", "expected a duration"),
    Bad("negative duration", service("rollout: {step_bake: -5}"), "5:26", "-5s is below the smallest allowed, 0s"),
    Bad("negative text", service("rollout: {step_bake: -5m}"), "5:26", "is below the smallest allowed, 0s"),
    Bad("below", service("rollout: {look_interval: 0.1}"), "5:30", "100ms is below the smallest allowed, 200ms (5 s"),
    Bad("below as text", service("rollout: {look_interval: 50ms}"), "5:30", "50ms is below the smallest", False),
    Bad("above", service("rollout: {lease: 7200}"), "5:22", "2h is above the largest allowed, 1h"),
    Bad("infinite", service("rollout: {lease: .inf}"), "5:22", "expected a duration"),
    Bad("not a number", service("rollout: {lease: .nan}"), "5:22", "expected a duration", False),
    Bad("far too large", service("rollout: {lease: 1e999}"), "5:22", "expected a duration"),
    Bad("nothing", service("rollout: {step_bake: }"), "5:26", "remove the key to get the default"),
    # ratios, numbers, words
    Bad("ratio as percent", service("judge: {false_rollback: 5}"), "5:29", "write 5 % as 0.05 or 5%"),
    Bad("ratio's reason", service("judge: {false_rollback: 0.5}"), "5:29", "(a false alarm in a hundred"),
    Bad("ratio text", service("judge: {false_rollback: 5 %}"), "5:29", "expected a ratio such as 0.05 or 5%"),
    Bad("fraction", service("workload: {port: 80.5}"), "5:22", "80.5 is no whole number"),
    Bad("number as text", service("workload: {port: '80'}"), "5:22", '"80" stands here; expected a number'),
    Bad("port", service("workload: {port: 65536}"), "5:22", "above the largest allowed, 65535"),
    Bad("choice", service("judge: {mode: enforced}"), "5:19", '"enforced" is none of enforce, dry-run'),
    Bad("choice by number", service("judge: {mode: 1}"), "5:19", "1 is none of enforce, dry-run"),
    Bad("choice by null", service("judge: {mode: null}"), "5:19", "remove the key"),
    Bad("boolean", service("rollout: {events: yes}"), "5:23", '"yes" stands here; expected true or false'),
    Bad("text from number", service("subsets: {label: 1}"), "5:22", "1 is no text; put it in quotes"),
    Bad("text from list", service("host: [a]"), "5:11", "a list stands here; expected text"),
    # lists, objects in lists, maps
    Bad("list expected", service("route: {http: main}"), "5:19", "expected a list"),
    Bad("null list", service("rollout: {steps: }"), "5:22", "remove the key"),
    Bad("item", service("rollout: {steps: [5, x]}"), "5:26", 'services.shop.rollout.steps[1]: "x" stands here'),
    Bad("item's limit", service("rollout: {steps: [0, 5]}"), "5:23", "below the smallest allowed, 0.05% (weights are"),
    Bad("item's key", service("rollout: {steps: [{weight: 5, bak: 1}]}"), "5:35", "did you mean bake?"),
    Bad("item incomplete", service("rollout: {steps: [{bake: 1s}]}"), "5:23", "rollout.steps[0].weight: is missing"),
    Bad("query incomplete", service("metrics: {queries: [{name: a}]}"), "5:25", "metrics.queries[0].query: is missing"),
    Bad("query as text", service("metrics: {queries: [up]}"), "5:25", "expected a mapping with some of name, query"),
    Bad("importance", service("metrics: {queries: [{name: a, query: b, importance: high}]}"), "5:57", "informational"),
    Bad("map expected", service("links: [a]"), "5:12", "expected a mapping"),
    Bad("map's value", service("links: {Grafana: 5}"), "5:22", "5 is no text"),
    # overlays
    Bad("defaults", "version: 1\ndefaults: {mod: x}\nservices: {a: {namespace: b}}\n", "2:12", "defaults.mod: unknown"),
    Bad(
        "environments",
        "version: 1\nservices: {a: {namespace: b}}\nenvironments: [prod]\n",
        "3:15",
        "environments by their names",
    ),
    Bad(
        "in an environment not used",
        "version: 1\nservices: {a: {namespace: b}}\nenvironments:\n  p: {services: {a: {judge: {mode: x}}}}\n",
        "4:36",
        "environments.p.services.a.judge.mode",
    ),
    Bad(
        "key of an environment",
        "version: 1\nservices: {a: {namespace: b}}\nenvironments:\n  p: {service: {}}\n",
        "4:7",
        "environments.p.service: unknown key; did you mean services?",
    ),
    # between settings
    Bad("steps fall", service("rollout: {steps: [5, 25, 10]}"), "5:22", "must rise, but 10 follows 25", False),
    Bad("steps repeat", service("rollout: {steps: [5, 5]}"), "5:22", "must rise, but 5 follows 5", False),
    Bad("no steps", service("rollout: {steps: []}"), "5:22", "rollout.steps: is empty", False),
    Bad("deadline", service("rollout: {deadline: 3m}"), "5:25", "3m is less than the 10m that", False),
    Bad("one subset", service("subsets: {stable: a, canary: a}"), "5:34", "the sides need two subsets", False),
    Bad("one workload", service("workload: {canary: shop}"), "5:24", "it would be overwritten", False),
    Bad("prometheus", service("metrics: {source: prometheus}"), "3:3", "metrics.address: is missing", False),
    Bad("empty check", service("smoke: [{}]"), "5:12", "smoke[0]: has neither http nor command", False),
    Bad("two checks", service("smoke: [{http: {}, command: [a]}]"), "5:12", "has both http and command", False),
    Bad(
        "query twice",
        service("metrics: {queries: [{name: a, query: b}, {name: a, query: c}]}"),
        "5:24",
        'the name "a" stands there 2 times',
        False,
    ),
    # YAML itself
    Bad("tab", "version: 1\nservices:\n\tshop: {}\n", "3:1", "a tab; YAML is indented with spaces", False),
    Bad("tab after spaces", "version: 1\nservices:\n  \tshop: {}\n", "3:3", "a tab", False),
    Bad("open bracket", "version: 1\nservices: {shop: [\n", "3:1", "", False),
    Bad("duplicate", service("host: a\nhost: b"), "6:5", '"host" stands here twice, first in line 5', False),
    Bad("two documents", "version: 1\n---\nversion: 1\n", "2:1", "a second document begins here", False),
    Bad("no anchor", service("host: *a"), "5:11", "the alias *a has no anchor before it", False),
    Bad("python tag", service("host: !!python/object:os.system x"), "5:11", "is not known here", False),
    Bad("key is a list", service("[a, b]: c"), "5:5", "a key must be a word", False),
    Bad("control character", "version: 1\nservices: \x01\n", "2:11", "a character that YAML does not allow", False),
]
