"""Trials of a whole migration as users live it: people who talk and keep their own record. until phase 3"""
