"""Back ends of the ports: one file each. Only app.py, cli.py and testing.py name them."""
