"""The functions of tests/contract/test_api_subresources.py on a real kube-apiserver."""

from tests.contract.test_api_subresources import *  # noqa: F403 - the tests themselves
