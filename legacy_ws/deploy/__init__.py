"""What `legacy-ws deploy`, `destroy` and `status` do; never part of the Lambda package. until phase 3"""
