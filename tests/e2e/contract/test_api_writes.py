"""The functions of tests/contract/test_api_writes.py on a real kube-apiserver."""

from tests.contract.test_api_writes import *  # noqa: F403 - the tests themselves
