"""Names that other parts look for. Pure. until phase 3"""

PLAN_FILE = "migrate-plan.json"
"""What `migrate cleanup resources plan` writes beside migrate.toml."""
