"""The functions of tests/contract/test_store_and_lock.py on a real kube-apiserver."""

from tests.contract.test_store_and_lock import *  # noqa: F403 - the tests themselves
