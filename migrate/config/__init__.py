"""The stack's description: `migrate.toml`. until phase 3"""

from migrate.config.load import DEFAULT_FILE, Config, ConfigOption, load_config, resolve_config

__all__ = ["DEFAULT_FILE", "Config", "ConfigOption", "load_config", "resolve_config"]
