"""Helpers beside the tests are importable. until phase 3"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
