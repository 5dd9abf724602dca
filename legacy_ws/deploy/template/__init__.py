"""A stack as a CloudFormation template, from the same description that `legacy-ws deploy` works from. until phase 3"""

from __future__ import annotations

from legacy_ws.deploy.template.build import build_template
from legacy_ws.deploy.template.yaml import to_yaml

__all__ = ["build_template", "to_yaml"]
