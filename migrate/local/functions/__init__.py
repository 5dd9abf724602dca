"""Lambda execution of the local AWS: AWS's own runtime clients behind a Runtime API of ours. until phase 3"""

from migrate.local.functions.service import LocalFunctions

__all__ = ["LocalFunctions"]
