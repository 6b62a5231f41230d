"""The functions of tests/contract/test_api_differences.py on a real kube-apiserver."""

from tests.contract.test_api_differences import *  # noqa: F403 - the tests themselves
