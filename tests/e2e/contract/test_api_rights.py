"""The functions of tests/contract/test_api_rights.py on a real kube-apiserver."""

from tests.contract.test_api_rights import *  # noqa: F403 - the tests themselves
