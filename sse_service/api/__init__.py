"""The HTTP face of the service: routes, what surrounds them, and how errors look."""
