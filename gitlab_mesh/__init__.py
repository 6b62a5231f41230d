"""gitlab-mesh: progressive delivery for GitLab CI on an Istio service mesh."""

__all__ = ["__version__"]

__version__ = "0.1.0"
