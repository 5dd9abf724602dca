"""Errors of the connection core.

ConnectionCoreError
├── IllegalTransitionError        a life-cycle event that the state does not allow (a mistake of the caller)
├── DefinitionError               an API definition that cannot be served
├── MalformedProxyResponseError   what a proxy integration returned is no proxy response
└── UnsupportedTemplateError      a mapping template uses what the renderer does not know
"""


class ConnectionCoreError(Exception):
    """Base of every error of this package."""


class IllegalTransitionError(ConnectionCoreError):
    """A life-cycle event in a state that has no row for it in the transition table."""

    def __init__(self, state: str, event: str) -> None:
        self.state = state
        self.event = event
        super().__init__(f"A connection that is {state} cannot take {event}")


class DefinitionError(ConnectionCoreError):
    """A piece of an API definition is missing or has the wrong form."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class MalformedProxyResponseError(ConnectionCoreError):
    """AWS logs this as "Execution failed due to configuration error: Malformed Lambda proxy response"."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"Malformed proxy response: {problem}")


class UnsupportedTemplateError(ConnectionCoreError):
    """The mapping template needs Velocity beyond plain references."""

    def __init__(self, construct: str) -> None:
        self.construct = construct
        super().__init__(f"Mapping template uses {construct}, which is not supported here")
