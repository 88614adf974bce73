"""Fixtures for the tests of conversion."""

import pytest

from tests.support.convert_tools import Folder


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)
