"""Rooms: everybody hears everything, history per room (RC1-RC5). until phase 3"""
