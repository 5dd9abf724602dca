"""Runbook, notice to support, final report: written from the configuration and from what happened (MG14).
until phase 3
"""
