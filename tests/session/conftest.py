"""Every backend that sessions have here, and a session on each."""

from __future__ import annotations

import pytest
from session_backends import BACKENDS, session


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def s(backend):
    return session(backend, dtype="float64")
