"""Layers: chat, agent runs and library jobs, answered by way of a queue (WL1-WL6, WL8). until phase 3"""
