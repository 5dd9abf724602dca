"""The three historical applications, on one core. until phase 3"""
