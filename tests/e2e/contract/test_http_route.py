"""The functions of tests/contract/test_http_route.py on a real kube-apiserver."""

from tests.contract.test_http_route import *  # noqa: F403 - the tests themselves
