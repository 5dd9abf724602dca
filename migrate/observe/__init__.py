"""Dashboard and alarms of the service that stays, written from the configuration (MG14). until phase 3"""
