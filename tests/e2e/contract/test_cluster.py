"""The functions of tests/contract/test_cluster.py on a real kube-apiserver."""

from tests.contract.test_cluster import *  # noqa: F403 - the tests themselves
