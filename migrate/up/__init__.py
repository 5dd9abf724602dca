"""`migrate up`: both stacks side by side on one machine. until phase 3"""
