"""Compact schemas of Istio's, Gateway API's and some of Kubernetes' kinds, written down as types and rules."""
