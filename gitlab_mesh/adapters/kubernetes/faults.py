"""What a fault on the way to the API server means: urllib3's exceptions as errors of ours."""

from __future__ import annotations

import ssl

from gitlab_mesh.errors import GitlabMeshError, TransientError, UsageError

__all__ = ["NotSentError", "map_fault"]


class NotSentError(TransientError):
    """No connection came about: whatever the verb, the server has not seen the request."""


def map_fault(error: Exception, server: str, context: str, request: str, timeout: float) -> GitlabMeshError:
    """Return our error for an exception of urllib3 or the operating system.

    Args:
        error: The exception.
        server: Address of the API server.
        context: Name of the kubeconfig's context.
        request: Verb and path, for the message.
        timeout: The limit that the request had, in seconds.
    """
    from urllib3 import exceptions

    reason = _innermost(error)
    where = f"Kubernetes API {server} (context {context})"
    again = f"check that this job reaches it: kubectl --context {context} version"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UsageError(
            f"{where}: its certificate is not trusted",
            why=reason.verify_message,
            hint="set certificate-authority in the kubeconfig, or SSL_CERT_FILE for an agent server's own CA",
        )
    said = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
    if isinstance(error, (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, exceptions.ProxyError)):
        return NotSentError(f"{where} cannot be reached", why=said, hint=again)
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return TransientError(f"{where}: no answer to {request} within {timeout:g} s", hint=again)
    return TransientError(f"{where}: the connection broke during {request}", why=said, hint=again)


def _innermost(error: BaseException) -> BaseException:
    """Return the cause that the operating system or TLS named, behind urllib3's wrapping."""
    found = error
    for _ in range(8):
        inner = found.__cause__ or found.__context__
        inner = inner or next((part for part in found.args if isinstance(part, BaseException)), None)
        if inner is None:
            break
        found = inner
    return found
