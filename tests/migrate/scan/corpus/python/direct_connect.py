import boto3

# Direct Connect has a call of the same name.
boto3.client("directconnect").delete_connection(connectionId="dxcon-1")
pool.get_connection("default")
