"""The live page: both stacks' messages as they arrive in one browser, side by side. until phase 3 (MG2, MG18)"""

from __future__ import annotations

from migrate.live.server import PageConfig, create_app, serve

__all__ = ["PageConfig", "create_app", "serve"]
