"""The functions of tests/contract/test_api_reads.py on a real kube-apiserver."""

from tests.contract.test_api_reads import *  # noqa: F403 - the tests themselves
