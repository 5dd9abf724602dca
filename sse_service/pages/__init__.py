"""The chat page at `/chat` and the widget: static files, and the virtual connections that the drop-in client uses on them.

Nothing is built and nothing is fetched from elsewhere at run time; docs/guides/pages.md.
"""
