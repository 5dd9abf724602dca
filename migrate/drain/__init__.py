"""The drain: nobody new comes in, those who are there are told to go, then they are closed. until phase 3 (MG10)

refusal   new connections refused by a setting of the stage, and put back
walk      the connections that the tables know
run       announce, wait, close; stops and goes on
who       who is left
"""
