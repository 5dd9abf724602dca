"""The three phases as checklists whose items prove themselves (MG13, WL11). until phase 3

items.py, texts.py, model.py      the items, and the words of what is found (pure)
collect.py                        gathers the evidence (evidence.py) of a phase: from code.py the application's code,
                                  account.py what runs, records.py what the toolkit has written down
judge.py                          from evidence and signatures (signatures.py) to what is done (pure)
standing.py                       all of it, for one phase
"""
