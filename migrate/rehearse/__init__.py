"""`migrate rehearse`: the whole migration on the local AWS, with people who keep their own records. until phase 3"""
