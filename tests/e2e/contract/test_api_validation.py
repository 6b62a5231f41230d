"""The functions of tests/contract/test_api_validation.py on a real kube-apiserver."""

from tests.contract.test_api_validation import *  # noqa: F403 - the tests themselves
