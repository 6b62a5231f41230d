"""The functions of tests/contract/test_api_patches.py on a real kube-apiserver."""

from tests.contract.test_api_patches import *  # noqa: F403 - the tests themselves
