"""Fixtures of the live page's tests. until phase 3"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("two_stacks", Path(__file__).parents[1] / "two_stacks.py")
assert _spec is not None and _spec.loader is not None
if "two_stacks" not in sys.modules:
    sys.modules["two_stacks"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["two_stacks"])
