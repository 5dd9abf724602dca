"""What the old stack costs a month and what the new one does (MG14). until phase 3"""
