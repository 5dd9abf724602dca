"""The deprecated WebSocket stack: API Gateway WebSocket, Lambda and DynamoDB. until phase 3

Modules of this folder and of `apps/` run inside AWS Lambda (Python 3.11 to 3.13); `deploy/` and `cli/` put
them there. Nothing is imported here: every import of this file is paid by every cold start.
"""
