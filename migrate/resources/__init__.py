"""The old stack's resources: what goes, in which order, what still uses it, and how to have it again (MG12).
until phase 3
"""
