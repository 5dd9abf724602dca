"""The chat page at `/chat` and the widget: static files, and the virtual connections of its drop-in client.

Nothing is built and nothing is fetched from elsewhere at run time; docs/guides/pages.md.
"""
