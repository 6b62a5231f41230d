"""What happens to a matched request besides choosing a destination: headers, rewrite, redirect, fault, retries."""

from __future__ import annotations

from http import HTTPStatus

from gitlab_mesh.sandbox.envoy.fields import Fields
from gitlab_mesh.sandbox.envoy.model import Json

__all__ = [
    "FAULT_FILTER",
    "FAULT_TYPE",
    "header_operations",
    "percentage",
    "translate_direct_response",
    "translate_fault",
    "translate_redirect",
    "translate_retries",
]

FAULT_FILTER = "envoy.filters.http.fault"
FAULT_TYPE = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"

_REDIRECT_CODES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_PREVIOUS_HOSTS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}


def header_operations(headers: Fields | None) -> tuple[Json, str]:
    """Translate ``headers`` of a route or a destination.

    Returns:
        Envoy's ``*_headers_to_add`` and ``*_headers_to_remove``, and the new authority: Istio turns a ``host``
        among the request headers into a rewrite, and drops other names that begin with a colon.
    """
    out: Json = {}
    authority = ""
    if headers is None:
        return out, authority
    with headers:
        for side in ("request", "response"):
            operations = headers.child(side)
            if operations is None:
                continue
            with operations:
                added = operations.text_map("add")
                written = operations.text_map("set")
                removed = operations.texts("remove")
            if side == "request":
                for name, value in (*added.items(), *written.items()):
                    if name.lower() in ("host", ":authority"):
                        authority = value
            options = [_option(name, value, "OVERWRITE_IF_EXISTS_OR_ADD") for name, value in sorted(written.items())]
            options += [_option(name, value, "APPEND_IF_EXISTS_OR_ADD") for name, value in sorted(added.items())]
            if options := [option for option in options if not _internal(option["header"]["key"])]:
                out[f"{side}_headers_to_add"] = options
            if removed := [name for name in removed if not _internal(name)]:
                out[f"{side}_headers_to_remove"] = removed
    return out, authority


def _option(name: str, value: str, action: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": action}


def _internal(name: str) -> bool:
    return name.startswith(":") or name.lower() == "host"


def translate_redirect(redirect: Fields, port: int) -> Json:
    """Translate ``redirect`` (Istio's ``ApplyRedirect``); ``port`` is the one that the request came to."""
    with redirect:
        out: Json = {
            "host_redirect": redirect.text("authority"),
            "path_redirect": redirect.text("uri"),
            "scheme_redirect": redirect.text("scheme"),
        }
        code = redirect.integer("redirectCode") or 301
        if code not in _REDIRECT_CODES:
            raise redirect.wrong("redirectCode", f"{code} is no redirect", "use 301, 302, 303, 307 or 308")
        redirect.one_of("port", "derivePort")
        derive = redirect.choice("derivePort", {"FROM_PROTOCOL_DEFAULT": 0, "FROM_REQUEST_PORT": port}, 0)
        target = redirect.integer("port") or derive
        out["response_code"] = _REDIRECT_CODES[code]
        # A port that the scheme implies is not written, as Istio does it.
        if target and target != {"": 80, "http": 80, "https": 443}.get(out["scheme_redirect"]):
            out["port_redirect"] = target
    return {key: value for key, value in out.items() if value}


def translate_direct_response(answer: Fields) -> Json:
    """Translate ``directResponse``."""
    with answer:
        status = answer.integer("status")
        if status is None or not 100 <= status < 600:
            raise answer.wrong("status", f"{status} is no HTTP status")
        out: Json = {"status": status}
        if (body := answer.child("body")) is not None:
            with body:
                kind = body.one_of("string", "bytes")
                if kind:
                    out["body"] = {f"inline_{kind}": body.text(kind)}
    return out


def translate_fault(fault: Fields) -> Json:
    """Translate ``fault``; without ``percentage`` nothing is delayed or aborted, as the API says."""
    out: Json = {"@type": FAULT_TYPE}
    with fault:
        if (delay := fault.child("delay")) is not None:
            with delay:
                out["delay"] = {"fixed_delay": delay.duration("fixedDelay"), "percentage": percentage(delay, None)}
        if (abort := fault.child("abort")) is not None:
            with abort:
                status = abort.integer("httpStatus")
                if status is None or status not in {one.value for one in HTTPStatus}:
                    raise abort.wrong("httpStatus", f"{status} is no HTTP status")
                out["abort"] = {"http_status": status, "percentage": percentage(abort, None)}
    return out


def percentage(parent: Fields, default: float | None, key: str = "percentage") -> Json:
    """Take a ``Percent`` and return a FractionalPercent; None as default means 0."""
    share = parent.child(key)
    value = default or 0.0
    if share is not None:
        with share:
            value = float(share.take("value", (int, float), 0.0))
    if not 0 <= value <= 100:
        raise parent.wrong(f"{key}.value", f"{value} is not between 0 and 100")
    return {"numerator": round(value * 10_000), "denominator": "MILLION"}


def translate_retries(retries: Fields | None) -> Json | None:
    """Translate ``retries`` (Istio's ``retry.ConvertPolicy``); absent means Istio's default, 0 attempts none."""
    out: Json = {
        "num_retries": 2,
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "host_selection_retry_max_attempts": "5",
        "retry_host_predicate": [_PREVIOUS_HOSTS],
    }
    if retries is None:
        return out
    with retries:
        attempts = retries.integer("attempts") or 0
        out["num_retries"] = attempts
        if conditions := retries.text("retryOn"):
            out |= _retry_on(conditions)
        if timeout := retries.duration("perTryTimeout"):
            out["per_try_timeout"] = timeout
        if backoff := retries.duration("backoff"):
            out["retry_back_off"] = {"base_interval": backoff}
        if not retries.flag("retryIgnorePreviousHosts", True):
            del out["retry_host_predicate"]
        if retries.flag("retryRemoteLocalities"):
            raise retries.wrong("retryRemoteLocalities", "localities are not emulated")
    return out if attempts else None


def _retry_on(conditions: str) -> Json:
    parts = [part.strip() for part in conditions.split(",") if part.strip()]
    codes = [int(part) for part in parts if part.isdigit()]
    words = [part for part in parts if not part.isdigit()]
    if codes and "retriable-status-codes" not in words:
        words.append("retriable-status-codes")
    return {"retry_on": ",".join(words), **({"retriable_status_codes": codes} if codes else {})}
