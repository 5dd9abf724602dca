"""Fixtures of the client's tests."""

from __future__ import annotations

import sys
from pathlib import Path

# Helpers stand beside the tests, as in tests/e2e.
sys.path.insert(0, str(Path(__file__).parent))
