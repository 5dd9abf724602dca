"""Finding every use of WebSocket in a source tree: code, infrastructure, permissions, dependencies. until phase 3 (MG3)

files.walk -> engine.scan_file -> model.Finding -> baseline.compare -> render / sarif
"""
