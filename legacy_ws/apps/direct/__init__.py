"""1:1 chat by e-mail address (DC1, DC2, the receipts of DC5). until phase 3"""
