"""The functions of tests/contract/test_api_gateway.py on a real kube-apiserver."""

from tests.contract.test_api_gateway import *  # noqa: F403 - the tests themselves
