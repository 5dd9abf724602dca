"""The deprecated WebSocket stack: API Gateway WebSocket, Lambda and DynamoDB. until phase 3"""
