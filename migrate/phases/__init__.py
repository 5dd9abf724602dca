"""The three phases as checklists whose items prove themselves (MG13, WL11). until phase 3"""
